"""The boundary between trunk and heads: each task's gradient at the representation that its head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.balancing.mixed_precision import full
from mtl_cli.config.errors import UserError


class Representation(NamedTuple):
    """A representation, and the gradients at it of the tasks that read it.

    Parameters
    ----------
    z : Tensor
        With its graph, which leads to the trunk's parameters.
    tasks : list of int
        The numbers of the tasks that read it.
    gradients : Tensor of shape (tasks here, *that of z)
        c_t = ∂L_t/∂z.
    """

    z: torch.Tensor
    tasks: list[int]
    gradients: torch.Tensor


class HeadBoundary:
    """Runs the heads on detached copies of the representations, one for each task.

    One backward pass through the heads then gives every task's gradient at its own copy. Tasks that read the same z get
    slices of one tensor, so that their gradients come as one tensor too.

    Parameters
    ----------
    representations : mapping of str to Tensor
        z_t by task.
    heads : mapping of str to Module

    Attributes
    ----------
    outputs : dict of str to Tensor
        The heads'.
    representations : list of Representation
        Each z once; with c_t after ``receive``.
    """

    def __init__(self, representations: Mapping[str, torch.Tensor], heads: Mapping[str, nn.Module]) -> None:
        self.representations: list[Representation] = []
        names, tensors = list(representations), list(representations.values())
        copies: dict[str, torch.Tensor] = {}
        readers: dict[int, list[int]] = {}
        for number, z in enumerate(tensors):
            readers.setdefault(id(z), []).append(number)
        for numbers in readers.values():
            z = tensors[numbers[0]]
            leaf = full(z.detach()).expand(len(numbers), *z.shape).requires_grad_()
            self.representations.append(Representation(z, numbers, leaf))
            copies.update(zip((names[number] for number in numbers), leaf.unbind(), strict=True))
        self.outputs = {name: heads[name](copies[name]) for name in names}

    def receive(self, rows: torch.Tensor, gradient: torch.Tensor) -> None:
        """Send the gradient at the losses' rows, (T, n), back through the heads to c_t. Their graph is kept."""
        leaves = [each.gradients for each in self.representations]
        found = torch.autograd.grad(
            rows, leaves, gradient, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        pairs = zip(self.representations, found, strict=True)
        self.representations = [each._replace(gradients=gradients) for each, gradients in pairs]

    def flat(self) -> torch.Tensor:
        """Return c_t, shape (T, numbers of z), where all tasks read one z."""
        if len(self.representations) > 1:
            what = "representation needs a representation that all tasks share"
            raise UserError("balancer.geometry", what, "balancer.geometry=parameters")
        return self.representations[0].gradients.flatten(1)

    def weighted(self, weights: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return each z, and Σ_t w_t c_t over the tasks that read it."""
        found = []
        for z, tasks, gradients in self.representations:
            own = weights if len(tasks) == len(weights) else _some(weights, tasks)
            found.append((z, (own.to(gradients.dtype) @ gradients.flatten(1)).view(z.shape)))
        return found

    def directed(self, direction: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the one z that all tasks read, and ``direction``, as many numbers, in its shape."""
        self.flat()
        z = self.representations[0].z
        return [(z, direction.view(z.shape))]


def _some(weights: torch.Tensor, tasks: Sequence[int]) -> torch.Tensor:
    """Return the weights of these tasks, without waiting for the device as an index from a list would."""
    each = weights.unbind()
    return torch.stack([each[task] for task in tasks])
