"""The backward pass that a step's gradients land by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mtl_cli.balancing.model import SharedModel

Roots = list[tuple[torch.Tensor, torch.Tensor]]
"""Tensors that gradients are to be sent back from, and the gradients; a known one of a parameter from itself."""


def inner_product(tensor: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """Return the sum of the products of two tensors alike, whose gradient at ``tensor`` is ``gradient``.

    Autograd takes gradients at its roots too, but then imports sympy to compare two shapes: a third of a second.
    """
    with torch.enable_grad():
        return torch.dot(tensor.reshape(-1), gradient.reshape(-1))


def send_back(roots: Roots, inputs: Sequence[nn.Parameter] | None = None) -> None:
    """Send gradients into ``.grad`` by one backward pass of autograd, in which hooks fire once for each parameter.

    The known gradient of a parameter that nobody has a hook on is added without that pass.

    Parameters
    ----------
    roots : list of (Tensor, Tensor)
        Those of tensors that need no gradient are passed over.
    inputs : sequence of Parameter, optional
        Where they are to land; by default wherever they come.
    """
    scalars = []
    for tensor, gradient in roots:
        if not tensor.requires_grad:
            continue
        gradient = gradient.to(tensor.dtype)
        if tensor.is_leaf and not tensor._backward_hooks and not tensor._post_accumulate_grad_hooks:
            tensor.grad = gradient if tensor.grad is None else tensor.grad.add_(gradient)
        else:
            scalars.append(inner_product(tensor, gradient))
    if scalars:
        torch.autograd.backward(scalars, inputs=inputs)


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
    send_back([*heads, *((p, piece.view(p.shape).clone()) for p, piece in zip(shared, pieces, strict=True))])
