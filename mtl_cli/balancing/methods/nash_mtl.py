"""Nash-MTL: the Nash bargaining solution among the tasks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "nash_mtl")
@dataclass(frozen=True, kw_only=True)
class NashMTL(GramianBalancer):
    """(Gw)_t = 1 / w_t, w > 0: max_d Σ_t log g_t·d over a ball.

    Navon et al. (ICML 2022, arXiv 2202.01017, algorithm 1). A constant factor on a task's loss does not change its
    share. Solved by Newton's method to a residual of 1e-6, where the authors' sequence of convex programs stops
    after 20.

    Parameters
    ----------
    max_norm : float, optional
        Shorten Σ_t w_t g_t to this. By the equation its norm is √T in every step; the authors' code has 1, the
        paper none. Heads are weighted by the shortened w_t too, where the authors' code leaves them as they were.

    Notes
    -----
    Where a convex combination of the gradients vanishes the equations have no solution; the weights are then those of
    such a combination, scaled to Σ_t ‖w_t g_t‖ = T. A task whose gradient is zero gets the others' mean weight.
    The paper also solves only every few steps: that is ``update_every``.
    """

    max_norm: PositiveFloat | None = None
    heads: Literal["weighted", "unit"] = "weighted"

    paper: ClassVar[str] = "Navon et al. 2022, arXiv 2202.01017"

    def solve(self, gramian: Array) -> Array:
        from mtl_cli.balancing.solvers.fairness import fair_weights

        weights = fair_weights(gramian, 1.0)
        norm = math.sqrt(max(float(weights @ gramian @ weights), 0.0))
        if self.max_norm is not None and norm > self.max_norm:
            weights *= self.max_norm / norm
        return weights
