"""A folder of spectra searched at once: `starsift sift`."""
