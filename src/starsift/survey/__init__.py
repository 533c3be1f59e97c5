"""Surveys: spectra in FITS files, catalogues, images, and their division into jobs."""
