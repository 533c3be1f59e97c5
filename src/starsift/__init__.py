"""starsift sifts rare stars out of spectroscopic surveys."""
