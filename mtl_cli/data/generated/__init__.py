"""Data sets that are drawn: tasks whose relation is known."""
