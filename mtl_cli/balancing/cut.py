"""The cut between trunk and heads: each task's gradient at the representation that its head reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mtl_cli.balancing.geometry import Root
from mtl_cli.balancing.linear_heads import LinearHeads, are_linear
from mtl_cli.config.errors import UserError


class Cut:
    """Runs the heads on leaves in place of the representations.

    Tasks that read the same z get slices of one leaf, so that one backward call through the heads leaves all their
    gradients in one tensor, without a copy.

    Parameters
    ----------
    representations : mapping of str to Tensor
        z_t by task.
    heads : mapping of str to Module
    axis : {0, 1}
        Where the tasks lie in the gradients: (T, n, …) or (n, T, …).

    Attributes
    ----------
    outputs : dict of str to Tensor
        The heads'. Once the losses were sent back to them, ``finish`` is to be called.
    """

    def __init__(self, representations: Mapping[str, torch.Tensor], heads: Mapping[str, nn.Module], axis: int) -> None:
        self.axis = axis
        names, tensors = list(representations), list(representations.values())
        own = [heads[name] for name in names]
        self._linear: LinearHeads | None = None
        self._roots: list[tuple[torch.Tensor, list[int], torch.Tensor]] = []
        if tensors[0].dim() == 2 and all(z is tensors[0] for z in tensors) and are_linear(own):
            self._linear = LinearHeads(own, tensors[0])
            self._roots = [(tensors[0], list(range(len(names))), tensors[0])]
            self.outputs = dict(zip(names, self._linear.outputs, strict=True))
            return
        readers: dict[int, list[int]] = {}
        for number, z in enumerate(tensors):
            readers.setdefault(id(z), []).append(number)
        leaves: dict[str, torch.Tensor] = {}
        for numbers in readers.values():
            z = tensors[numbers[0]]
            shape = list(z.shape)
            shape.insert(axis, len(numbers))
            leaf = z.detach().unsqueeze(axis).expand(shape).requires_grad_()
            self._roots.append((z, numbers, leaf))
            leaves.update(zip((names[number] for number in numbers), leaf.unbind(axis), strict=True))
        self.outputs = {name: heads[name](leaves[name]) for name in names}

    def finish(self) -> None:
        """See to it that the heads have their gradients, as if of Σ_t L_t."""
        if self._linear is not None:
            self._linear.finish()

    def roots(self) -> list[Root]:
        """Return c_t = ∂L_t/∂z_t for each z."""
        if self._linear is not None:
            z, numbers, _ = self._roots[0]
            return [Root(z, numbers, self._linear.deltas(self.axis))]
        return [
            Root(z, numbers, leaf.grad if leaf.grad is not None else torch.zeros_like(leaf))
            for z, numbers, leaf in self._roots
        ]

    def gramian(self) -> torch.Tensor:
        """Return c_s · c_t, shape (T, T), where all tasks read one z."""
        if self._linear is not None:
            return self._linear.gramian()
        rows = self.rows()
        return rows @ rows.T

    def rows(self) -> torch.Tensor:
        """Return c_t, shape (T, n · width), where all tasks read one z."""
        if len(self._roots) > 1:
            raise UserError(
                "balancer.geometry", "representation needs a representation that all tasks share",
                "balancer.geometry=parameters",
            )  # fmt: skip
        deltas = self.roots()[0].deltas
        return (deltas if self.axis == 0 else deltas.transpose(0, 1)).reshape(len(self.outputs), -1)

    def weighted(self, weights: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return each z with Σ_t w_t c_t over the tasks that read it."""
        if self._linear is not None:
            return [(self._roots[0][0], self._linear.weighted(weights))]
        return [(z, self._sum(deltas, weights[numbers])) for z, numbers, deltas in self.roots()]

    def directed(self, direction: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the one z with ``direction``, of its numbers, in its shape."""
        z = self._roots[0][0]
        return [(z, direction.view(z.shape))]

    def _sum(self, deltas: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        if self.axis == 0:
            return (weights @ deltas.view(len(deltas), -1)).view(deltas.shape[1:])
        return torch.matmul(weights, deltas.view(*deltas.shape[:2], -1)).view(len(deltas), *deltas.shape[2:])
