"""Readers of survey files, one module a layout."""
