"""Surveys that never were: stars, their spectra, their files, and the truth about them."""
