"""What a trained model makes of its features: importance, dependence, attribution; and what its tasks share."""
