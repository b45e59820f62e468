"""The files that predictions are written to: one format, one file."""
