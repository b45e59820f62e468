"""Several data sets through one trunk."""
