"""Images: idx, npz and npy files, and those that can be fetched."""
