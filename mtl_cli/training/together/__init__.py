"""Members of a run trained at once, as one network with a leading member dimension."""
