"""Pretrained image models of timm: their weights, and the layers above them."""
