"""DualProj: the mean gradient freed of its conflicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "dualproj")
@dataclass(frozen=True, kw_only=True)
class DualProjection(GramianBalancer):
    """π((1/T) Σ_t g_t), π the projection onto the dual cone {d : g_s·d ≥ 0 for all s}.

    Lopez-Paz & Ranzato (NeurIPS 2017, arXiv 1706.08840, equation 11) project the gradient of the present task so
    that it harms no earlier one; here it is the mean gradient that is projected, as Quinton & Rey (arXiv
    2406.16232) name it.
    """

    paper: ClassVar[str] = "Lopez-Paz & Ranzato 2017, arXiv 1706.08840"

    def solve(self, gramian: Array) -> Array:
        import numpy as np

        from mtl_cli.balancing.solvers.dual_cone import onto_dual_cone

        size = len(gramian)
        weights: Array = onto_dual_cone(gramian, np.full((1, size), 1 / size))[0]
        return weights
