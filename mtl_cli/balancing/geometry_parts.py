"""The tasks' gradients on one parameter, kept in whichever form is cheap, and what is wanted of them.

T is the number of tasks. Every form can give its share of the Gramian, Σ_t w_t g_t, and the gradients themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from mtl_cli.balancing.geometry_products import (
    FACTORED_OVERHEAD,
    NARROW,
    add_products,
    row_products,
    weight_gradient,
    weight_gradients,
    weighted_sum,
)

SMALL = 65_536
"""Numbers of a part up to which its calls take longer than its arithmetic."""


class Part(Protocol):
    """The T gradients on one parameter of p numbers."""

    @property
    def parameter(self) -> torch.nn.Parameter:
        """The parameter."""

    def add_gramian(self, total: torch.Tensor) -> None:
        """Add g_s · g_t to ``total``, shape (T, T)."""

    def accumulate(self, weights: torch.Tensor) -> None:
        """Add Σ_t w_t g_t to the parameter's ``.grad``."""

    def rows(self) -> torch.Tensor:
        """Return the gradients, shape (T, p)."""


@dataclass(frozen=True)
class Dense:
    """The gradients themselves.

    Parameters
    ----------
    parameter : Parameter
    values : Tensor of shape (T, p)
    transposed : bool
        Whether each lies there as (inputs, outputs), where the parameter is (outputs, inputs).
    """

    parameter: torch.nn.Parameter
    values: torch.Tensor
    transposed: bool = False

    def add_gramian(self, total: torch.Tensor) -> None:
        add_products(total, self.values)

    def accumulate(self, weights: torch.Tensor) -> None:
        self.add(weights @ self.values)

    def add(self, gradient: torch.Tensor) -> None:
        """Add a gradient that lies as ``values`` do, shape (p,), to the parameter's ``.grad``."""
        if self.transposed:
            gradient = gradient.view(-1, len(self.parameter)).T.contiguous()
        add_gradient(self.parameter, gradient.view(self.parameter.shape))

    def rows(self) -> torch.Tensor:
        if not self.transposed:
            return self.values
        return self.values.view(len(self.values), -1, len(self.parameter)).transpose(1, 2).flatten(1)


@dataclass(frozen=True)
class Joined:
    """The gradients on several small parameters side by side, ``values`` of shape (T, Σp): fewer calls for the same."""

    parts: list[Dense]
    values: torch.Tensor

    def add_gramian(self, total: torch.Tensor) -> None:
        add_products(total, self.values)

    def accumulate(self, weights: torch.Tensor) -> None:
        pieces = torch.split_with_sizes(weights @ self.values, [part.values.shape[1] for part in self.parts])
        for part, piece in zip(self.parts, pieces, strict=True):
            part.add(piece)


@dataclass(frozen=True)
class Factored:
    """The gradients δ_tᵀ A on a weight, never multiplied out.

    With K = A Aᵀ, g_s · g_t = Σ_ab K_ab δ_s,a · δ_t,b: a layer of many inputs costs its n × n products of rows once,
    instead of once per task.

    Parameters
    ----------
    parameter : Parameter
        Of ``outputs`` × ``inputs`` numbers.
    inputs : Tensor of shape (n, inputs)
        A, what the layer read.
    deltas : Tensor of shape (T, n, outputs)
        δ, the gradients at what it returned.
    """

    parameter: torch.nn.Parameter
    inputs: torch.Tensor
    deltas: torch.Tensor

    def add_gramian(self, total: torch.Tensor) -> None:
        spread = torch.matmul(row_products(self.inputs), self.deltas)
        add_products(total, spread.flatten(1), self.deltas.flatten(1))

    def accumulate(self, weights: torch.Tensor) -> None:
        product = weight_gradient(self.inputs, weighted_sum(weights, self.deltas))
        add_gradient(self.parameter, product.view(self.parameter.shape))

    def rows(self) -> torch.Tensor:
        return weight_gradients(self.inputs, self.deltas).flatten(1)


@dataclass(frozen=True)
class TableRows:
    """The gradients on an embedding table, of the rows that were read.

    Parameters
    ----------
    parameter : Parameter
        The table, (entries, width).
    index : Tensor of int, shape (u,)
        The entries that were read, each once.
    values : Tensor of shape (T, u, width)
        Their gradients.
    """

    parameter: torch.nn.Parameter
    index: torch.Tensor
    values: torch.Tensor

    def add_gramian(self, total: torch.Tensor) -> None:
        add_products(total, self.values.flatten(1))

    def accumulate(self, weights: torch.Tensor) -> None:
        read = weighted_sum(weights, self.values)
        add_gradient(self.parameter, torch.zeros_like(self.parameter).index_copy_(0, self.index, read))

    def rows(self) -> torch.Tensor:
        table = self.values.new_zeros(len(self.values), *self.parameter.shape)
        return table.index_copy_(1, self.index, self.values).flatten(1)


def join(parts: Sequence[Part]) -> Sequence[Part | Joined]:
    """Put the small parts side by side."""
    small = [part for part in parts if isinstance(part, Dense) and part.values.numel() <= SMALL]
    if len(small) < 2:
        return parts
    joined = Joined(small, torch.cat([part.values for part in small], 1))
    return [joined, *(part for part in parts if not isinstance(part, Dense) or part.values.numel() > SMALL)]


def add_gradient(parameter: torch.Tensor, gradient: torch.Tensor) -> None:
    """Add to a parameter's ``.grad``."""
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient


def product(parameter: torch.nn.Parameter, inputs: torch.Tensor, deltas: torch.Tensor) -> Part:
    """Return the gradients δ_tᵀ A of a weight, in the form that takes fewer multiplications.

    Parameters
    ----------
    parameter : Parameter
    inputs : Tensor of shape (n, inputs)
    deltas : Tensor of shape (T, n, outputs)
    """
    (tasks, n, outputs), width = deltas.shape, inputs.shape[1]
    dense = tasks * n * outputs * width + tasks * (tasks + 1) * outputs * width
    factored = n * n * (width + tasks * outputs) + n * outputs * width
    if factored + FACTORED_OVERHEAD < dense:
        return Factored(parameter, inputs, deltas)
    if width <= NARROW:
        return Dense(parameter, torch.bmm(inputs.T.expand(tasks, -1, -1), deltas).flatten(1), transposed=True)
    return Dense(parameter, weight_gradients(inputs, deltas).flatten(1))


def sizes(parameters: Iterable[torch.nn.Parameter]) -> list[int]:
    """Return how many numbers each parameter has."""
    return [math.prod(p.shape) for p in parameters]
