"""What happens around the steps of the training: one callback, one file."""
