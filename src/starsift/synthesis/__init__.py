"""Simulated spectra for training and injection: stars, instrument, noise."""
