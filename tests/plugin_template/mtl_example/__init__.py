"""A plugin for `mtl`: importing it registers what its modules define."""

from mtl_example import balancer, source, task

__all__ = ["balancer", "source", "task"]
