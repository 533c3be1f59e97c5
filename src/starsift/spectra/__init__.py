"""One-dimensional spectra: batches of them, templates, and the kernels that work on both."""

C_KMS = 299_792.458  # speed of light, km/s (exact)
