"""ConFIG: the direction that has the same positive angle to every gradient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    from mtl_cli.balancing.solvers.linalg import Array


@component("balancer", "conflict_free")
@dataclass(frozen=True, kw_only=True)
class ConflictFree(GramianBalancer):
    """d = (Σ_t g_t·û) û, û = U⁺1 / ‖U⁺1‖, U the unit gradients g_t / ‖g_t‖ as rows.

    Liu, Chu & Thuerey (ICLR 2025, arXiv 2408.11104, equation 2), in the Gramian alone: with the cosines C and the
    norms n, U⁺1 = Σ_t v_t g_t / n_t, v = C⁺1.

    Notes
    -----
    A gradient that is zero is left out and its task gets the others' mean weight. Where U⁺1 = 0 the weights are 0.
    """

    paper: ClassVar[str] = "Liu et al. 2024, arXiv 2408.11104"

    def solve(self, gramian: Array) -> Array:
        import numpy as np

        from mtl_cli.balancing.solvers.linalg import cosines, pseudo_inverse_times, spread

        matrix, norms = cosines(gramian)
        positive = norms > 0
        weights = np.zeros(len(norms))
        if positive.any():
            matrix, own = matrix[positive][:, positive], norms[positive]
            found = pseudo_inverse_times(matrix, np.ones(len(own)))
            product = matrix @ found  # the projection of 1 on the range of C, which is all of it if C is regular
            if product @ product > 1e-8 * len(own):
                weights[positive] = (own @ product) / (found @ product) * found / own
        return spread(weights, norms)
