"""Protein sequences: FASTA files and columns of tables."""
