"""DualProj: the mean gradient freed of its conflicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.rule import GramianRule
from mtl_cli.balancing.solvers.small import onto_dual_cone
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.cosines import Array


@component("balancer", "dualproj")
@dataclass(frozen=True, kw_only=True)
class DualProjection(GramianRule):
    """π((1/T) Σ_t g_t), π the projection onto the dual cone {d : g_s·d ≥ 0 for all s}.

    Lopez-Paz & Ranzato (NeurIPS 2017, arXiv 1706.08840, equation 11) project the gradient of the present task so
    that it harms no earlier one; here it is the mean gradient that is projected, as Quinton & Rey (arXiv
    2406.16232) name it.
    """

    paper: ClassVar[str] = "Lopez-Paz & Ranzato 2017, arXiv 1706.08840"

    def rule(self, gramian: Array) -> Array:
        return dualproj_weights(gramian)

    def few(self, gramian: Sequence[Sequence[float]]) -> Sequence[float] | None:
        found = onto_dual_cone(gramian, [[1 / len(gramian)] * len(gramian)])
        return None if found is None else found[0]


def dualproj_weights(gramian: Array) -> Array:
    """Return w with Σ_t w_t g_t = π(mean of g), for G of shape (K, K)."""
    import numpy as np

    from mtl_cli.balancing.solvers import quadratic

    size = len(gramian)
    weights: Array = quadratic.onto_dual_cone(gramian, np.full((1, size), 1 / size))[0]
    return weights
