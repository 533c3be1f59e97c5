"""Published tables: what their columns mean, how they are written, and where they come from."""
