"""MGDA: the shortest convex combination of the gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "mgda")
@dataclass(frozen=True, kw_only=True)
class MGDA(GramianBalancer):
    """w = argmin ‖Σ_t w_t g_t‖² over w ≥ 0, Σ_t w_t = 1.

    Désidéri (2012) and Sener & Koltun (NeurIPS 2018, arXiv 1810.04650, equation 3). The quadratic program is solved
    exactly rather than by the Frank–Wolfe iterations of the latter's algorithm 2. Its upper bound MGDA-UB is
    ``geometry: representation``. Gradients are not normalised. Heads get their own losses' gradients.
    """

    paper: ClassVar[str] = "Sener & Koltun 2018, arXiv 1810.04650"

    def solve(self, gramian: Array) -> Array:
        from mtl_cli.balancing.solvers.min_norm import least_norm

        return least_norm(gramian)
