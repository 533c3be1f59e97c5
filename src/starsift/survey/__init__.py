"""What surveys deliver: spectra in FITS files, catalogues, and how both are cut into jobs."""
