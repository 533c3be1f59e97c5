"""M stars among spectra that the survey could not classify: samples, hashing, search, measurements."""
