"""Trackers: callbacks that tell other programs how a training goes. What they need is imported once one is chosen."""
