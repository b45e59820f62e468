"""The backward pass that a step's gradients land by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mtl_cli.balancing import engine
from mtl_cli.balancing.model import SharedModel

Roots = list[tuple[torch.Tensor, torch.Tensor]]
"""Tensors that gradients are to be sent back from, and the gradients; a known one of a parameter from itself."""


def send_back(roots: Roots, inputs: Sequence[nn.Parameter] = ()) -> None:
    """Send gradients into ``.grad`` by one backward pass of autograd, in which hooks fire once for each parameter.

    Parameters
    ----------
    roots : list of (Tensor, Tensor)
        Those of tensors that need no gradient are passed over.
    inputs : sequence of Parameter
        Where they are to land; if empty, wherever they come.
    """
    pairs = [(tensor, gradient.to(tensor.dtype)) for tensor, gradient in roots if tensor.requires_grad]
    if pairs:
        engine.backward([tensor for tensor, _ in pairs], [gradient for _, gradient in pairs], inputs)


def send_direction(
    model: SharedModel, shared: Sequence[nn.Parameter], direction: torch.Tensor, heads: Roots, below: Roots
) -> None:
    """Send a direction, shape (P,), to the shared parameters in place of what would arrive there from ``below``.

    What is ``below`` the heads goes to the parameters that are neither shared nor a head's, such as a task's own gate.
    """
    known = {id(p) for p in shared} | {id(p) for head in model.heads.values() for p in head.parameters()}
    own = [p for p in model.parameters() if p.requires_grad and id(p) not in known]
    if own:
        send_back(below, own)
    pieces = torch.split_with_sizes(direction, [p.numel() for p in shared])
    send_back([*heads, *((p, piece.view(p.shape)) for p, piece in zip(shared, pieces, strict=True))])
