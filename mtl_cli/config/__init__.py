"""What the user may write, and what is wrong with it. Nothing here imports torch or pandas."""
