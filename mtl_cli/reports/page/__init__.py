"""Reports as one HTML file: its parts, how they are written, and what they say of a run."""
