"""One-dimensional spectra: batches of them, templates, and the kernels that work on both."""
