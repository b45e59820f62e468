"""Tables: a row per example, features and labels in columns."""
