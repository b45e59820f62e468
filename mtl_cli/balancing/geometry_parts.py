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


SMALL = 65_536
"""Numbers of a part up to which its calls take longer than its arithmetic."""

LONG, PIECE = 32_768, 1_024


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
    """The gradients themselves, ``values`` of shape (T, p)."""

    parameter: torch.nn.Parameter
    values: torch.Tensor

    def add_gramian(self, total: torch.Tensor) -> None:
        add_products(total, self.values)

    def accumulate(self, weights: torch.Tensor) -> None:
        add_gradient(self.parameter, (weights @ self.values).view(self.parameter.shape))

    def rows(self) -> torch.Tensor:
        return self.values


@dataclass(frozen=True)
class Joined:
    """The gradients on several small parameters side by side, ``values`` of shape (T, Σp): fewer calls for the same."""

    parameters: list[torch.nn.Parameter]
    values: torch.Tensor

    def add_gramian(self, total: torch.Tensor) -> None:
        add_products(total, self.values)

    def accumulate(self, weights: torch.Tensor) -> None:
        pieces = torch.split(weights @ self.values, sizes(self.parameters))
        for parameter, piece in zip(self.parameters, pieces, strict=True):
            add_gradient(parameter, piece.view(parameter.shape))


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
    deltas : Tensor of shape (n, T, outputs)
        δ, the gradients at what it returned.
    """

    parameter: torch.nn.Parameter
    inputs: torch.Tensor
    deltas: torch.Tensor

    def add_gramian(self, total: torch.Tensor) -> None:
        spread = (self.inputs @ self.inputs.T) @ self.deltas.reshape(len(self.deltas), -1)
        total.addmm_(by_task(spread.view(self.deltas.shape)), by_task(self.deltas).T)

    def accumulate(self, weights: torch.Tensor) -> None:
        product = torch.matmul(weights, self.deltas).T @ self.inputs
        add_gradient(self.parameter, product.view(self.parameter.shape))

    def rows(self) -> torch.Tensor:
        n, tasks, _ = self.deltas.shape
        return (self.deltas.reshape(n, -1).T @ self.inputs).view(tasks, -1)


@dataclass(frozen=True)
class TableRows:
    """The gradients on an embedding table, of the rows that were read.

    Parameters
    ----------
    parameter : Parameter
        The table, (entries, width).
    index : Tensor of int, shape (u,)
        The entries that were read, each once.
    values : Tensor of shape (u, T, width)
        Their gradients.
    """

    parameter: torch.nn.Parameter
    index: torch.Tensor
    values: torch.Tensor

    def add_gramian(self, total: torch.Tensor) -> None:
        add_products(total, by_task(self.values))

    def accumulate(self, weights: torch.Tensor) -> None:
        read = torch.matmul(weights, self.values)
        add_gradient(self.parameter, torch.zeros_like(self.parameter).index_copy_(0, self.index, read))

    def rows(self) -> torch.Tensor:
        tasks = self.values.shape[1]
        table = self.values.new_zeros(tasks, *self.parameter.shape)
        return table.index_copy_(1, self.index, self.values.transpose(0, 1)).view(tasks, -1)


def join(parts: Sequence[Part]) -> Sequence[Part | Joined]:
    """Put the small parts side by side."""
    small = [part for part in parts if isinstance(part, Dense) and part.values.numel() <= SMALL]
    if len(small) < 2:
        return parts
    joined = Joined([part.parameter for part in small], torch.cat([part.values for part in small], 1))
    return [joined, *(part for part in parts if not isinstance(part, Dense) or part.values.numel() > SMALL)]


def add_gradient(parameter: torch.Tensor, gradient: torch.Tensor) -> None:
    """Add to a parameter's ``.grad``."""
    if parameter.grad is None:
        parameter.grad = gradient
    else:
        parameter.grad += gradient


def add_products(total: torch.Tensor, rows: torch.Tensor) -> None:
    """Add the products of all pairs of ``rows``, shape (T, p), to ``total``, shape (T, T).

    One product of a few very long rows leaves most of a matrix multiplication's registers idle: in pieces it takes half
    the time.
    """
    tasks, width = rows.shape
    if width >= LONG and width % PIECE == 0:
        pieces = rows.view(tasks, -1, PIECE)
        total += torch.bmm(pieces.transpose(0, 1), pieces.permute(1, 2, 0)).sum(0)
    else:
        total.addmm_(rows, rows.T)


def by_task(deltas: torch.Tensor) -> torch.Tensor:
    """Return (n, T, …) as (T, the rest)."""
    return deltas.transpose(0, 1).reshape(deltas.shape[1], -1)


def product(parameter: torch.nn.Parameter, inputs: torch.Tensor, deltas: torch.Tensor) -> Part:
    """Return the gradients δ_tᵀ A of a weight, in the form that takes fewer multiplications.

    Parameters
    ----------
    parameter : Parameter
    inputs : Tensor of shape (n, inputs)
    deltas : Tensor of shape (n, T, outputs)
    """
    (n, tasks, outputs), width = deltas.shape, inputs.shape[1]
    dense = tasks * n * outputs * width + tasks * (tasks + 1) * outputs * width
    factored = n * n * (width + tasks * outputs) + n * outputs * width
    if factored + FACTORED_OVERHEAD < dense:
        return Factored(parameter, inputs, deltas)
    return Dense(parameter, (deltas.reshape(n, -1).T @ inputs).view(tasks, -1))


def norms(inputs: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Return ‖δ_tᵀ A‖ for each task, shape (T,), in one product for all tasks.

    Parameters
    ----------
    inputs : Tensor of shape (n, inputs)
    deltas : Tensor of shape (n, T, outputs)
    """
    (n, tasks, outputs), width = deltas.shape, inputs.shape[1]
    flat = deltas.reshape(n, -1)
    if n * (width + tasks * outputs) + FACTORED_OVERHEAD / n < tasks * outputs * width:
        spread = (inputs @ inputs.T) @ flat
        return (spread * flat).view(deltas.shape).sum((0, 2)).clamp(min=0).sqrt()
    found: torch.Tensor = torch.linalg.vector_norm((flat.T @ inputs).view(tasks, -1), dim=1)
    return found


def sizes(parameters: Iterable[torch.nn.Parameter]) -> list[int]:
    """Return how many numbers each parameter has."""
    return [math.prod(p.shape) for p in parameters]
