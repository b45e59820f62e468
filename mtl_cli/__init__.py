"""Config-driven multi-task training: `mtl train dataset=wine balancer=gradnorm`."""

__version__ = "0.1.0"
