"""Spectra of two or three stars: components, errors, classifiers, voting, suspects, objects."""
