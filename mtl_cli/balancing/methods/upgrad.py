"""UPGrad: every gradient freed of its conflicts, then averaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "upgrad")
@dataclass(frozen=True, kw_only=True)
class UPGrad(GramianBalancer):
    """(1/T) Σ_t π(g_t), π the projection onto the dual cone {d : g_s·d ≥ 0 for all s}.

    Quinton & Rey (arXiv 2406.16232, equations 3 and 4, proposition 1): π(Σ_t u_t g_t) = Σ_t v_t g_t, v = argmin vᵀGv
    over v ≥ u. The T quadratic programs are solved together and exactly, without the regularisation that their
    library adds.
    """

    paper: ClassVar[str] = "Quinton & Rey 2024, arXiv 2406.16232"

    def solve(self, gramian: Array) -> Array:
        import numpy as np

        from mtl_cli.balancing.solvers.dual_cone import onto_dual_cone

        weights: Array = onto_dual_cone(gramian, np.eye(len(gramian)) / len(gramian)).sum(0)
        return weights
