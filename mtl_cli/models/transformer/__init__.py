"""Pretrained encoders of texts: their weights, and the layers above them."""
