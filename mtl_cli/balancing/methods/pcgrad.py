"""PCGrad: from each gradient, the parts that conflict with others are taken away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array, Indices


@component("balancer", "pcgrad")
@dataclass(frozen=True, kw_only=True)
class PCGrad(GramianBalancer):
    """Σ_t g'_t, g'_t starting as g_t; for the other s in random order, g'_t ← g'_t − min(0, g'_t·g_s) / ‖g_s‖² g_s.

    Yu et al. (NeurIPS 2020, arXiv 2001.06782, algorithm 1). Every g'_t is a combination of the g_s, so the Gramian
    suffices.
    """

    draws_orders: ClassVar[bool] = True
    paper: ClassVar[str] = "Yu et al. 2020, arXiv 2001.06782"

    def solve_with_state(
        self, gramian: Array, chosen: Indices, state: dict[str, Array], draws: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        assert draws is not None
        return pcgrad_weights(gramian, draws.argsort(1)), {}


def pcgrad_weights(gramian: Array, order: Indices) -> Array:
    """Return w with Σ_t w_t g_t = Σ_t g'_t.

    Parameters
    ----------
    gramian : array of shape (K, K)
    order : array of int, shape (K, K)
        Row t: the order in which g'_t meets the gradients; that with itself does nothing.
    """
    import numpy as np

    squares, rows = gramian.diagonal(), np.arange(len(gramian))
    parts = np.eye(len(gramian))  # row t: g'_t as a combination of the g_s
    for others in order.T:
        products = (parts * gramian[others]).sum(1)
        conflicting = (products < 0) & (others != rows) & (squares[others] > 0)
        who = rows[conflicting]
        parts[who, others[who]] -= products[who] / squares[others[who]]
    weights: Array = parts.sum(0)
    return weights
