"""UPGrad: every gradient freed of its conflicts, then averaged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.rule import GramianRule
from mtl_cli.balancing.solvers.small import onto_dual_cone
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.cosines import Array


@component("balancer", "upgrad")
@dataclass(frozen=True, kw_only=True)
class UPGrad(GramianRule):
    """(1/T) Σ_t π(g_t), π the projection onto the dual cone {d : g_s·d ≥ 0 for all s}.

    Quinton & Rey (arXiv 2406.16232, equations 3 and 4, proposition 1): π(Σ_t u_t g_t) = Σ_t v_t g_t, v = argmin vᵀGv
    over v ≥ u. The T quadratic programs are solved together and exactly, without the regularisation that their
    library adds.
    """

    paper: ClassVar[str] = "Quinton & Rey 2024, arXiv 2406.16232"

    def rule(self, gramian: Array) -> Array:
        return upgrad_weights(gramian)

    def few(self, gramian: Sequence[Sequence[float]]) -> Sequence[float] | None:
        share = 1 / len(gramian)
        each = [[share if i == j else 0.0 for j in range(len(gramian))] for i in range(len(gramian))]
        found = onto_dual_cone(gramian, each)
        return None if found is None else [sum(weights) for weights in zip(*found, strict=True)]


def upgrad_weights(gramian: Array) -> Array:
    """Return w with Σ_t w_t g_t = (1/K) Σ_t π(g_t), for G of shape (K, K)."""
    import numpy as np

    from mtl_cli.balancing.solvers import quadratic

    size = len(gramian)
    weights: Array = quadratic.onto_dual_cone(gramian, np.eye(size) / size).sum(0)
    return weights
