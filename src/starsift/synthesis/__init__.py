"""Spectra that never were, as training and injection need them: stars, instrument, noise."""
