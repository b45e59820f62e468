"""Heads of one linear layer each, run as one layer: T small products become one, forward and back."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from mtl_cli.balancing.geometry_parts import add_gradient
from mtl_cli.balancing.geometry_trace import has_other_hooks


class LinearHeads:
    """A forward pass through T linear heads that read the same z, and the way back, without a graph.

    Parameters
    ----------
    heads : sequence of Linear
        For which ``are_linear`` holds.
    z : Tensor of shape (n, width)
    """

    def __init__(self, heads: Sequence[nn.Module], z: torch.Tensor) -> None:
        self._z = z.detach()
        self._weights = [weight for head in heads if (weight := head._parameters["weight"]) is not None]
        self._biases = [bias for head in heads if (bias := head._parameters["bias"]) is not None]
        self._widths = [len(bias) for bias in self._biases]
        with torch.no_grad():
            self._weight = torch.cat([*self._weights])
            self._output = torch.addmm(torch.cat([*self._biases]), self._z, self._weight.T).requires_grad_()
        self.outputs = torch.split_with_sizes(self._output, self._widths, 1)

    def finish(self) -> None:
        """Add to the heads' ``.grad``, given that the losses were sent back to ``outputs``. Without gradients."""
        errors = self._errors
        weights = torch.split_with_sizes(errors.T @ self._z, self._widths)
        biases = torch.split_with_sizes(errors.sum(0), self._widths)
        for parameter, gradient in zip(self._weights + self._biases, weights + biases, strict=True):
            add_gradient(parameter, gradient)

    @property
    def _errors(self) -> torch.Tensor:
        """∂L_t/∂outputs side by side, shape (n, Σ outputs)."""
        assert self._output.grad is not None
        return self._output.grad

    def deltas(self, axis: int) -> torch.Tensor:
        """Return c_t = ∂L_t/∂z, shape (T, n, width) or (n, T, width)."""
        errors, tasks = self._errors, len(self._widths)
        rows, width = self._z.shape
        found = errors.new_empty((tasks, rows, width) if axis == 0 else (rows, tasks, width))
        if set(self._widths) == {1}:
            spread = self._weight if axis == 1 else self._weight.unsqueeze(1)
            return torch.mul((errors if axis == 1 else errors.T).unsqueeze(2), spread, out=found)
        pieces = zip(found.unbind(axis), torch.split_with_sizes(errors, self._widths, 1), self._weights, strict=True)
        for place, piece, weight in pieces:
            torch.mm(piece, weight, out=place)
        return found

    def gramian(self) -> torch.Tensor:
        """Return c_s · c_t, shape (T, T), without the c's: the sum over e_sᵀ e_t ∘ W_s W_tᵀ, with e_t the errors."""
        products = (self._errors.T @ self._errors).mul_(self._weight @ self._weight.T)
        if set(self._widths) == {1}:
            return products
        columns = [block.sum(1) for block in torch.split(products, self._widths, 1)]
        return torch.stack([torch.stack([piece.sum() for piece in torch.split(c, self._widths)]) for c in columns], 1)

    def weighted(self, weights: torch.Tensor) -> torch.Tensor:
        """Return Σ_t w_t c_t, shape (n, width)."""
        if set(self._widths) != {1}:
            weights = torch.cat([w.expand(width) for w, width in zip(weights, self._widths, strict=True)])
        return (self._errors * weights) @ self._weight


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
