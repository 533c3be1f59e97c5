"""Positions on the sky, dates, and velocities of the observer."""
