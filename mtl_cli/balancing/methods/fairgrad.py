"""FairGrad: α-fair shares of the progress."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "fairgrad")
@dataclass(frozen=True, kw_only=True)
class FairGrad(GramianBalancer):
    """(Gw)_t = w_t^(−1/α), w > 0: max_d Σ_t (g_t·d)^(1−α) / (1−α) over a ball.

    Ban & Ji (ICML 2024, arXiv 2402.15638, equation 4 and algorithm 1). α = 1 is proportional fairness (Nash-MTL);
    the larger α, the nearer to max-min fairness. Solved by Newton's method to a residual of 1e-6 or what float64
    allows.

    Parameters
    ----------
    alpha : float
        2 in the authors' scripts (QM9, CelebA, Meta-World); 1 is the default of their class.

    Notes
    -----
    Where a convex combination of the gradients vanishes the equations have no solution; the weights are then those of
    such a combination, scaled to Σ_t ‖w_t g_t‖ = T. A task whose gradient is zero gets the others' mean weight. For α
    far above 10 and gradients that differ in length by many orders, float64 may not do: that ends the run. The authors'
    code also multiplies the shared gradient by T and shortens it to 1, which the paper's algorithm does not. It trains
    heads on L_t, as here; LibMTL on w_t L_t.
    """

    alpha: PositiveFloat = 2.0

    paper: ClassVar[str] = "Ban & Ji 2024, arXiv 2402.15638"

    def solve(self, gramian: Array) -> Array:
        from mtl_cli.balancing.solvers.fairness import Unsolved, fair_weights

        try:
            return fair_weights(gramian, self.alpha)
        except Unsolved as error:
            lengths = gramian.diagonal()[gramian.diagonal() > 0] ** 0.5
            apart = f"gradients {lengths.max() / lengths.min():.0e} apart in length"
            what = f"is {self.alpha:g}, for which there are no weights in float64 with {apart}"
            raise UserError(
                "balancer.alpha", what, "balancer.alpha=2, or tasks.<task>.weight to bring them nearer"
            ) from error
