"""IMTL-G: the direction with the same projection on every task's gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "imtl_g")
@dataclass(frozen=True, kw_only=True)
class ImpartialGradients(GramianBalancer):
    """d·g_t / ‖g_t‖ is the same for every t, d = Σ_t w_t g_t, Σ_t w_t = 1.

    Liu et al. (ICLR 2021, "Towards Impartial Multi-task Learning", the gradient balance). With the cosines C and
    the norms n, w_t ∝ v_t / n_t, C v = 1. Weights may be negative; where the v_t / n_t sum to less than 0, so is
    every projection, and all tasks get worse: the paper's formula has it so.

    Notes
    -----
    The paper takes the gradients at z (``geometry: representation``); those of the parameters, the default here, it
    calls IMTL-G (exact). Where C is singular, v is the least-squares solution of least norm (the pseudo-inverse), which
    has the same projections if any has. Where the v_t / n_t sum to 0, no w sums to 1: the weights are 0. A gradient
    that is zero is left out of the equations and its task gets the others' mean weight.
    """

    paper: ClassVar[str] = "Liu et al. 2021, openreview IMPnRXEWpvr"

    def solve(self, gramian: Array) -> Array:
        return imtl_g_weights(gramian)


def imtl_g_weights(gramian: Array) -> Array:
    """Return w with equal projections and Σ_t w_t = 1, for G of shape (K, K)."""
    import numpy as np

    from mtl_cli.balancing.solvers.linalg import cosines, pseudo_inverse_times, spread

    matrix, norms = cosines(gramian)
    positive = norms > 0
    if not positive.any():
        return np.full(len(norms), 1 / len(norms))
    found = pseudo_inverse_times(matrix[positive][:, positive], np.ones(positive.sum())) / norms[positive]
    total = found.sum()
    weights = np.zeros(len(norms))
    if abs(total) > 1e-12 * np.abs(found).sum():
        weights[positive] = found / total
    return spread(weights, norms)
