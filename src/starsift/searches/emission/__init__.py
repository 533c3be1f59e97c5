"""Stars with H-alpha emission (Skoda et al. 2020)."""
