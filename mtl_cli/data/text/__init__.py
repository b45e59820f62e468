"""Texts: cut into words, which are hashed n-grams to a network, beside the features of a table."""
