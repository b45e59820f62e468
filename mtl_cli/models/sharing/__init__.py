"""Sharing schemes: what the tasks have in common below their heads, and what each has for itself; a file each."""
