"""The boundary between trunk and heads: each task's gradient at the representation that its head reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.balancing.mixed_precision import full
from mtl_cli.config.errors import UserError

Roots = list[tuple[torch.Tensor, torch.Tensor]]
"""Tensors that gradients are to be sent back from, and the gradients."""


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
    parameters : sequence of list of Parameter
        The heads', by task.

    Attributes
    ----------
    outputs : dict of str to Tensor
        The heads'.
    representations : list of Representation
        Each z once; with c_t after ``receive``.
    """

    def __init__(
        self,
        representations: Mapping[str, torch.Tensor],
        heads: Mapping[str, nn.Module],
        parameters: Sequence[Sequence[nn.Parameter]],
    ) -> None:
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
        self._own = [(task, p) for task, own in enumerate(parameters) for p in own if p.requires_grad]
        self._own_gradients: Sequence[torch.Tensor] | None = None
        self._rows: torch.Tensor | None = None

    def receive(self, rows: torch.Tensor, gradient: torch.Tensor) -> None:
        """Send the gradient at the losses' rows, (T, n), back through the heads to c_t, and to the heads' parameters.

        What arrives at these is kept for ``heads``. Not so where a parameter is tied to another head's, or has a hook,
        which would be called for it and then for the gradient that lands: there the heads' graph is kept.
        """
        leaves = [each.gradients for each in self.representations]
        apart = len({id(p) for _, p in self._own}) == len(self._own) and not any(p._backward_hooks for _, p in self._own)
        own = [p for _, p in self._own] if apart else []
        found = torch.autograd.grad(
            rows, [*leaves, *own], gradient, retain_graph=not apart, allow_unused=True, materialize_grads=True
        )
        pairs = zip(self.representations, found, strict=False)
        self.representations = [each._replace(gradients=gradients) for each, gradients in pairs]
        self._own_gradients, self._rows = (found[len(leaves) :], None) if apart else (None, rows)

    def heads(self, weights: torch.Tensor | None, upstream: torch.Tensor) -> Roots:
        """Return what is to be sent back for the heads' gradients of Σ_t u_t L_t, by task; None says that u_t is 1.

        Parameters
        ----------
        weights : Tensor of shape (T,), optional
            u.
        upstream : Tensor of shape (T, n)
            The gradient of Σ_t L_t at the losses' rows, as ``receive`` had it.
        """
        if self._own_gradients is None:
            assert self._rows is not None
            return [(self._rows, upstream if weights is None else upstream * weights.to(upstream.dtype).unsqueeze(1))]
        gradients = self._own_gradients
        if weights is not None and self._own:
            each = weights.unbind()
            gradients = torch._foreach_mul(gradients, [each[task] for task, _ in self._own])
        return [(p, gradient) for (_, p), gradient in zip(self._own, gradients, strict=True)]

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
