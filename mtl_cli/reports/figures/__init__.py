"""The figures of a run: one figure, one file."""
