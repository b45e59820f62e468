"""Sharing schemes: what the tasks have in common below their heads, and what each keeps for itself; one file a scheme."""
