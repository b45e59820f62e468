"""Image files, a file an example, with a table of labels or a folder for each class."""

FILE, LABEL, PART = "file", "label", "part"
"""The columns of a folder of images: the file's name in it, its class, and its part of the split."""
