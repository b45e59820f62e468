"""CAGrad: near the mean gradient, the direction that does most for the task it does least for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "cagrad")
@dataclass(frozen=True, kw_only=True)
class CAGrad(GramianBalancer):
    """max_d min_t g_t·d over ‖d − g_0‖ ≤ c ‖g_0‖, with g_0 the mean of the g_t.

    Liu, Liu, Jin, Stone & Liu (NeurIPS 2021, arXiv 2110.14048, algorithm 1): d = g_0 + (c ‖g_0‖ / ‖g_v‖) g_v, g_v
    = Σ_t v_t g_t with v on the simplex minimising g_v·g_0 + c ‖g_0‖ ‖g_v‖. Solved exactly, in the Gramian alone.

    Parameters
    ----------
    c : float
        Radius of the ball: 0 is the mean gradient, from 1 on no task is ever made worse. The paper has c < 1: 0.4 on
        NYU-v2, 0.2 on Cityscapes; 0.5 is the default of the authors' function.
    rescale : bool
        Divide by 1 + c², as the authors' code does (which then multiplies by T); the paper's algorithm does neither.

    Notes
    -----
    Where a convex combination of gradients vanishes, several d may solve the problem: this takes the one next to g_0.
    """

    c: NonNegativeFloat = 0.5
    rescale: bool = False

    paper: ClassVar[str] = "Liu et al. 2021, arXiv 2110.14048"

    def solve(self, gramian: Array) -> Array:
        from mtl_cli.balancing.solvers.cagrad import cagrad_weights

        return cagrad_weights(gramian, self.c) / (1 + self.c**2 if self.rescale else 1)
