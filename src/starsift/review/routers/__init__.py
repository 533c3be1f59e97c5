"""Requests that the review app answers, by concern."""
