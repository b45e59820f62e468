"""The cut between trunk and heads: each task's gradient at the representation that its head reads."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from mtl_cli.balancing.geometry import Root
from mtl_cli.balancing.geometry_parts import add_gradient
from mtl_cli.balancing.geometry_products import weighted_sum
from mtl_cli.balancing.linear_heads import LinearHeads, are_linear
from mtl_cli.balancing.precision import full
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

    Attributes
    ----------
    outputs : dict of str to Tensor
        The heads'. The losses are to be sent back to them with ``receive``.
    """

    def __init__(self, representations: Mapping[str, torch.Tensor], heads: Mapping[str, nn.Module]) -> None:
        names, tensors = list(representations), list(representations.values())
        self._heads = [heads[name] for name in names]
        self._linear: LinearHeads | None = None
        self._roots: list[Root] = []
        self._own: list[tuple[int, nn.Parameter, torch.Tensor]] = []
        first = tensors[0]
        if first.dim() == 2 and all(z is first for z in tensors) and are_linear(self._heads):
            self._linear = LinearHeads(self._heads, first)
            self.outputs = dict(zip(names, self._linear.outputs, strict=True))
            return
        readers: dict[int, list[int]] = {}
        for number, z in enumerate(tensors):
            readers.setdefault(id(z), []).append(number)
        leaves: dict[str, torch.Tensor] = {}
        for numbers in readers.values():
            z = tensors[numbers[0]]
            leaf = full(z.detach()).expand(len(numbers), *z.shape).requires_grad_()
            self._roots.append(Root(z, numbers, leaf))
            leaves.update(zip((names[number] for number in numbers), leaf.unbind(), strict=True))
        self.outputs = {name: heads[name](leaves[name]) for name in names}

    def receive(self, rows: torch.Tensor, gradient: torch.Tensor) -> None:
        """Send ``gradient`` at ``rows``, which were computed from the outputs, back to the cut."""
        if self._linear is not None:
            self._linear.receive(rows, gradient)
            return
        leaves = [root.deltas for root in self._roots]
        own = [(task, p) for task, head in enumerate(self._heads) for p in head.parameters() if p.requires_grad]
        wanted = [*leaves, *(parameter for _, parameter in own)]
        found = torch.autograd.grad((rows,), wanted, (gradient,), allow_unused=True)
        self._roots = [
            root._replace(deltas=torch.zeros_like(leaf) if delta is None else delta)
            for root, leaf, delta in zip(self._roots, leaves, found, strict=False)
        ]
        gradients = zip(own, found[len(leaves) :], strict=True)
        self._own = [(task, parameter, piece) for (task, parameter), piece in gradients if piece is not None]

    def finish(self, weights: torch.Tensor | None) -> None:
        """Add to the heads' ``.grad`` the gradient of Σ_t w_t L_t, or of Σ_t L_t. To be called without gradients."""
        if self._linear is not None:
            self._linear.finish(weights)
            return
        if weights is not None:
            each = weights.unbind()
            torch._foreach_mul_([piece for _, _, piece in self._own], [each[task] for task, _, _ in self._own])
        for _, parameter, piece in self._own:
            add_gradient(parameter, piece)

    def roots(self) -> list[Root]:
        """Return c_t = ∂L_t/∂z_t for each z."""
        return self._roots if self._linear is None else [self._linear.root()]

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
        return self.roots()[0].deltas.flatten(1)

    def weighted(self, weights: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return each z with Σ_t w_t c_t over the tasks that read it."""
        if self._linear is not None:
            return [self._linear.weighted(weights)]
        return [(z, weighted_sum(self._of(numbers, weights), deltas)) for z, numbers, deltas in self.roots()]

    def _of(self, numbers: list[int], weights: torch.Tensor) -> torch.Tensor:
        """Return the weights of these tasks, without waiting for the device as an index from a list would."""
        each = weights.unbind()
        return weights if len(numbers) == len(each) else torch.stack([each[number] for number in numbers])

    def directed(self, direction: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Return the one z with ``direction``, of its numbers, in its shape."""
        z = self.roots()[0].z
        return [(z, direction.view(z.shape))]
