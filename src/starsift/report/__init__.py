"""Figures and pages that the searches share."""
