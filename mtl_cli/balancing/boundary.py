"""The boundary between trunk and heads: each task's gradient at the representation that its head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.balancing import engine
from mtl_cli.balancing.backward import Roots
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

    One backward pass through the heads then gives every task's gradient at its own copy.

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
        Each z once, with its c_t; after ``receive``.
    """

    def __init__(self, representations: Mapping[str, torch.Tensor], heads: Mapping[str, nn.Module]) -> None:
        names, tensors = list(representations), list(representations.values())
        self._copies = [full(z.detach()).requires_grad_() for z in tensors]
        self.outputs = {name: heads[name](copy) for name, copy in zip(names, self._copies, strict=True)}
        readers: dict[int, list[int]] = {}
        for number, z in enumerate(tensors):
            readers.setdefault(id(z), []).append(number)
        self._readers = [(tensors[numbers[0]], numbers) for numbers in readers.values()]
        self.representations: list[Representation] = []
        self._errors: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def receive(self, rows: torch.Tensor, upstream: torch.Tensor, land: bool) -> None:
        """Send the gradient at the losses' rows back through the heads to c_t.

        Parameters
        ----------
        rows : Tensor of shape (T, n)
            The losses of ``outputs``, with their graph.
        upstream : Tensor of shape (T, n)
        land : bool
            Whether what arrives at the heads' parameters is to be added to their ``.grad``. If not, ``heads`` says what
            is to be sent back in the end.
        """
        found: Sequence[torch.Tensor | None]
        if land:
            engine.backward([rows], [upstream])
            found = [copy.grad for copy in self._copies]
        else:
            outputs = {i: output for i, output in enumerate(self.outputs.values()) if output.requires_grad}
            wanted = [*self._copies, *outputs.values()]
            found = engine.grad(rows, wanted, upstream)
            errors = zip(outputs.items(), found[len(self._copies) :], strict=True)
            self._errors = [(task, output, error) for (task, output), error in errors if error is not None]
            found = found[: len(self._copies)]
        each = [torch.zeros_like(z) if c is None else c for z, c in zip(self._copies, found, strict=True)]
        self._copies = []
        self.representations = [
            Representation(z, tasks, torch.stack([each[task] for task in tasks])) for z, tasks in self._readers
        ]

    def heads(self, weights: torch.Tensor | None) -> Roots:
        """Return where, and what, is to be sent back to train each head on w_t L_t; None says that w_t is 1."""
        if weights is None:
            return [(output, error) for _, output, error in self._errors]
        each = weights.unbind()
        return [(output, error * each[task]) for task, output, error in self._errors]

    def flat(self) -> torch.Tensor:
        """Return c_t, shape (T, numbers of z), where all tasks read one z."""
        if len(self.representations) > 1:
            what = "representation needs a representation that all tasks share"
            raise UserError("balancer.geometry", what, "balancer.geometry=parameters")
        return self.representations[0].gradients.flatten(1)

    def weighted(self, weights: torch.Tensor) -> Roots:
        """Return each z, and Σ_t w_t c_t over the tasks that read it."""
        found = []
        for z, tasks, gradients in self.representations:
            own = weights if len(tasks) == len(weights) else _some(weights, tasks)
            found.append((z, (own.to(gradients.dtype) @ gradients.flatten(1)).view(z.shape)))
        return found

    def directed(self, direction: torch.Tensor) -> Roots:
        """Return the one z that all tasks read, and ``direction``, as many numbers, in its shape."""
        self.flat()
        z = self.representations[0].z
        return [(z, direction.view(z.shape))]


def _some(weights: torch.Tensor, tasks: Sequence[int]) -> torch.Tensor:
    """Return the weights of these tasks, without waiting for the device as an index from a list would."""
    each = weights.unbind()
    return torch.stack([each[task] for task in tasks])
