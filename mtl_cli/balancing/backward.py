"""The backward pass that a step's gradients land by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

Roots = list[tuple[torch.Tensor, torch.Tensor]]
"""Tensors that gradients are to be sent back from, and the gradients; a known one of a parameter from itself."""


def send_back(roots: Roots, inputs: Sequence[nn.Parameter] | None = None) -> None:
    """Send gradients into ``.grad`` by one backward pass of autograd, in which hooks fire once for each parameter.

    Parameters
    ----------
    roots : list of (Tensor, Tensor)
        Those of tensors that need no gradient are passed over.
    inputs : sequence of Parameter, optional
        Where they are to land; by default wherever they come.
    """
    pairs = [(tensor, gradient.to(tensor.dtype)) for tensor, gradient in roots if tensor.requires_grad]
    if pairs:
        torch.autograd.backward([tensor for tensor, _ in pairs], [gradient for _, gradient in pairs], inputs=inputs)
