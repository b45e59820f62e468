"""Nash-MTL: the Nash bargaining solution among the tasks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.balancing.rule import GramianRule
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.cosines import Array


@component("balancer", "nash_mtl")
@dataclass(frozen=True, kw_only=True)
class NashMTL(GramianRule):
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

    def rule(self, gramian: Array) -> Array:
        from mtl_cli.balancing.solvers.fairness import fair_weights

        weights = fair_weights(gramian, 1.0)
        shortened: Array = weights * self._factor(float(weights @ gramian @ weights))
        return shortened

    def few(self, gramian: Sequence[Sequence[float]]) -> Sequence[float] | None:
        """Of two, w_t = 1 / (‖g_t‖ √(1 + cos θ)), θ between them."""
        if len(gramian) != 2:
            return None
        (first, mixed), (_, second) = gramian
        norm, other = math.sqrt(first), math.sqrt(second)
        size = self._factor(2.0) / math.sqrt(1 + mixed / (norm * other))
        return size / norm, size / other

    def _factor(self, square: float) -> float:
        """Return what shortens a vector with this square to ``max_norm``."""
        if self.max_norm is None or square <= self.max_norm**2:
            return 1.0
        return self.max_norm / math.sqrt(square)
