"""The searches: one folder each, with the same modules for the same roles; `registry` lists them."""
