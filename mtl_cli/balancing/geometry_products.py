"""The products of inputs and gradients that the geometry is made of, in the way that takes least time and memory."""

from __future__ import annotations

import torch

FACTORED_OVERHEAD = 2_000_000
"""Multiplications that take about as long as the additional calls of the factored form."""

NARROW = 16
"""Inputs up to which δᵀA takes a matrix multiplication two to three times as long as Aᵀδ."""

LONG, PIECE = 32_768, 1_024
"""Numbers from which a sum is added up in pieces, and of a piece."""

PANEL = 32
"""Rows of a product that are computed at once where half of it is copied."""


def weighted_sum(weights: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Return Σ_t w_t δ_t, of the shape of each, for ``deltas`` of shape (T, …)."""
    return (weights @ deltas.flatten(1)).view(deltas.shape[1:])


def weight_gradient(inputs: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    """Return δᵀA, shape (outputs, inputs), laid out as a weight's gradient must be."""
    if inputs.shape[1] <= NARROW:
        return (inputs.T @ delta).T.contiguous()
    return delta.T @ inputs


def weight_gradients(inputs: torch.Tensor, deltas: torch.Tensor) -> torch.Tensor:
    """Return δ_tᵀ A for each task, shape (T, outputs, inputs)."""
    return torch.bmm(deltas.transpose(1, 2), inputs.expand(len(deltas), -1, -1))


def row_products(inputs: torch.Tensor) -> torch.Tensor:
    """Return A Aᵀ, shape (n, n), of which half is copied."""
    n = len(inputs)
    found, panel = inputs.new_empty(n, n), max(PANEL, n // 4)
    for start in range(0, n, panel):
        end = start + panel
        torch.mm(inputs[start:end], inputs[:end].T, out=found[start:end, :end])
    return found.tril_().add_(found.tril(-1).T)


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
    found: torch.Tensor = torch.linalg.vector_norm(weight_gradients(inputs, deltas).flatten(1), dim=1)
    return found
