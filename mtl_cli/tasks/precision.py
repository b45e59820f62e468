"""The numbers that likelihoods are computed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def wide(device: torch.device) -> torch.dtype:
    """Return the widest floating-point numbers that a device has."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64
