"""Simulated surveys with their truth, and scorecards."""
