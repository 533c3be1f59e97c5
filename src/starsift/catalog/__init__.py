"""Published tables: columns, formats, provenance."""
