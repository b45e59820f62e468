"""The tasks' gradients on one parameter, kept in whichever form is cheap, and what is wanted of them.

T is the number of tasks. Every form can give its share of the Gramian, Σ_t w_t g_t, and the gradients themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

FACTORED_OVERHEAD = 2_000_000
"""Multiplications that take about as long as the additional calls of the factored form."""

NARROW = 16
"""Inputs up to which δᵀA takes a matrix multiplication two to three times as long as Aᵀδ."""

SMALL = 65_536
"""Numbers of a part up to which its calls take longer than its arithmetic."""

LONG, PIECE, PANEL = 32_768, 1_024, 32


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
        return products(self.inputs, self.deltas).flatten(1)


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


def add_products(total: torch.Tensor, rows: torch.Tensor, others: torch.Tensor | None = None) -> None:
    """Add the products of all pairs of ``rows`` and ``others`` (or themselves), shape (T, p), to ``total``, (T, T).

    A long sum in float32 is added up in pieces, whose sums are added then: one running sum loses a digit, and takes no
    less time.
    """
    others = rows if others is None else others
    tasks, width = rows.shape
    if width >= LONG:
        whole = width - width % PIECE
        pieces, theirs = (each[:, :whole].view(tasks, -1, PIECE) for each in (rows, others))
        total += torch.bmm(pieces.transpose(0, 1), theirs.permute(1, 2, 0)).sum(0)
        rows, others = rows[:, whole:], others[:, whole:]
    if rows.shape[1]:
        total.addmm_(rows, others.T)


def weighted_sum(weights: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Return Σ_t w_t δ_t, of the shape of each, for ``deltas`` of shape (T, …)."""
    return (weights @ deltas.flatten(1)).view(deltas.shape[1:])


def weight_gradient(inputs: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Return δᵀA, shape (outputs, inputs), laid out as a weight's gradient must be."""
    if inputs.shape[1] <= NARROW:
        return (inputs.T @ delta).T.contiguous()
    return delta.T @ inputs


def row_products(inputs: torch.Tensor) -> torch.Tensor:
    """Return A Aᵀ, shape (n, n), of which half is copied."""
    n = len(inputs)
    found, panel = inputs.new_empty(n, n), max(PANEL, n // 4)
    for start in range(0, n, panel):
        end = start + panel
        torch.mm(inputs[start:end], inputs[:end].T, out=found[start:end, :end])
    return found.tril_().add_(found.tril(-1).T)


def products(inputs: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Return δ_tᵀ A for each task, shape (T, outputs, inputs)."""
    return torch.bmm(deltas.transpose(1, 2), inputs.expand(len(deltas), -1, -1))


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
    return Dense(parameter, products(inputs, deltas).flatten(1))


def norms(inputs: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Return ‖δ_tᵀ A‖ for each task, shape (T,), in one product for all tasks.

    Parameters
    ----------
    inputs : Tensor of shape (n, inputs)
    deltas : Tensor of shape (T, n, outputs)
    """
    (tasks, n, outputs), width = deltas.shape, inputs.shape[1]
    if n * (width + tasks * outputs) + FACTORED_OVERHEAD / n < tasks * outputs * width:
        spread = torch.matmul(row_products(inputs), deltas)
        return (spread * deltas).sum((1, 2)).clamp(min=0).sqrt()
    found: torch.Tensor = torch.linalg.vector_norm(products(inputs, deltas).flatten(1), dim=1)
    return found


def sizes(parameters: Iterable[torch.nn.Parameter]) -> list[int]:
    """Return how many numbers each parameter has."""
    return [math.prod(p.shape) for p in parameters]
