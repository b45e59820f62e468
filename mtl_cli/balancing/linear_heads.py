"""Heads of one linear layer each, whose gradients are computed as one layer's: T small products become one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from mtl_cli.balancing.geometry import Root
from mtl_cli.balancing.geometry_parts import add_gradient
from mtl_cli.balancing.geometry_trace import has_other_hooks
from mtl_cli.balancing.precision import full


class LinearHeads:
    """A forward pass through T linear heads that read the same z, and the way back, without a graph.

    Parameters
    ----------
    heads : sequence of Linear
        For which ``are_linear`` holds.
    z : Tensor of shape (n, width)

    Attributes
    ----------
    outputs : sequence of Tensor
        (n, outputs) each, parts of one leaf. The losses are to be sent back to it with ``receive``.
    """

    def __init__(self, heads: Sequence[nn.Module], z: torch.Tensor) -> None:
        self._root, self._z = z, full(z.detach())
        self._weights = [weight for head in heads if (weight := head._parameters["weight"]) is not None]
        self._biases = [bias for head in heads if (bias := head._parameters["bias"]) is not None]
        self._widths = [len(bias) for bias in self._biases]
        with torch.no_grad():
            self._weight = torch.cat([*self._weights])
            self._leaf = full(F.linear(self._z, self._weight, torch.cat([*self._biases])))
        self.outputs = torch.split_with_sizes(self._leaf.requires_grad_(), self._widths, 1)
        self._known: torch.Tensor | None = None

    def receive(self, rows: torch.Tensor, gradient: torch.Tensor) -> None:
        """Keep ∂L_t/∂outputs side by side, shape (n, Σ outputs)."""
        (self._errors,) = torch.autograd.grad((rows,), (self._leaf,), (gradient,))

    def finish(self, weights: torch.Tensor | None) -> None:
        """Add the gradient of Σ_t w_t L_t, or of Σ_t L_t, to the heads' ``.grad``. To be called without gradients."""
        errors = self._errors if weights is None else self._scaled(weights)
        found = torch.split_with_sizes(errors.T @ self._z, self._widths)
        sums = torch.split_with_sizes(errors.sum(0), self._widths)
        for parameter, gradient in zip(self._weights + self._biases, found + sums, strict=True):
            add_gradient(parameter, gradient)

    def root(self) -> Root:
        """Return z and c_t = ∂L_t/∂z, shape (T, n, width)."""
        errors, tasks = self._errors, len(self._widths)
        if errors.shape[1] == tasks:  # one output each
            found = errors.T.contiguous().unsqueeze(2) * self._weight.unsqueeze(1)
        else:
            found = errors.new_empty((tasks, *self._z.shape))
            pieces = torch.split_with_sizes(errors, self._widths, 1)
            for place, piece, weight in zip(found, pieces, self._weights, strict=True):
                torch.mm(piece, weight, out=place)
        return Root(self._root, list(range(tasks)), found)

    def gramian(self) -> torch.Tensor:
        """Return c_s · c_t, shape (T, T), without the c's: the sum over e_sᵀ e_t ∘ W_s W_tᵀ, with e_t the errors."""
        products = (self._errors.T @ self._errors).mul_(self._weight @ self._weight.T)
        if set(self._widths) == {1}:
            return products
        columns = [block.sum(1) for block in torch.split(products, self._widths, 1)]
        return torch.stack([torch.stack([piece.sum() for piece in torch.split(c, self._widths)]) for c in columns], 1)

    def weighted(self, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return z and Σ_t w_t c_t, shape (n, width)."""
        return self._root, self._scaled(weights) @ self._weight

    def _scaled(self, weights: torch.Tensor) -> torch.Tensor:
        """Return the errors of Σ_t w_t L_t."""
        if self._known is not weights:
            each = weights
            if self._errors.shape[1] != len(self._widths):
                each = torch.cat([w.expand(width) for w, width in zip(weights, self._widths, strict=True)])
            self._known, self._weighted = weights, self._errors * each
        return self._weighted


def are_linear(heads: Sequence[nn.Module]) -> bool:
    """Whether the heads can be run as one: linear layers with a bias, all of it trained, and none with a hook."""
    for head in heads:
        if type(head) is not nn.Linear or has_other_hooks(head) or len(head._parameters) != 2:
            return False
        if any(
            p is None or not p.requires_grad for p in (head._parameters.get("weight"), head._parameters.get("bias"))
        ):
            return False
    return True
