"""Many runs: what a sweep means, and where its jobs run."""
