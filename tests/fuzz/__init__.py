"""Programs that look for faults with inputs made at random; a small sample of each is in the default suite."""
