"""A trained model for other systems: one graph from columns to predictions, or its weights alone."""
