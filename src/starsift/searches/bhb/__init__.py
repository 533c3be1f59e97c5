"""Blue horizontal branch stars by fusion of spectra and images (Wei et al. 2023)."""
