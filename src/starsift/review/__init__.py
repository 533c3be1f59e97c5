"""The review app: people look at spectra and label them. Nothing but the command line imports it."""
