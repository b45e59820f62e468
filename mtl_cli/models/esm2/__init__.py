"""ESM-2: its weights, the layers above it, and a cache of what a frozen one makes."""
