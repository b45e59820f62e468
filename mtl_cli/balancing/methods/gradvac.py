"""GradVac: gradients turned towards each other until they are as similar as they usually are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mtl_cli.balancing.base import GramianBalancer, State
from mtl_cli.config.convert import Bound
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.solvers.linalg import Array, Indices


@component("balancer", "gradvac")
@dataclass(frozen=True, kw_only=True)
class GradVac(GramianBalancer):
    """Σ_t g'_t, where g'_t is turned towards g_s if the cosine φ of the two is below its running mean φ̂_ts:

        g'_t ← g'_t + ‖g'_t‖ (φ̂ √(1 − φ²) − φ √(1 − φ̂²)) / (‖g_s‖ √(1 − φ̂²)) g_s,

    after which their cosine is φ̂; and then φ̂ ← (1 − β) φ̂ + β φ. φ̂ starts at 0, where this is PCGrad.

    Wang, Tsvetkov, Firat & Cao (ICLR 2021, arXiv 2010.05874, algorithm 1, in its appendix). Every g'_t is a combination
    of the g_s, so the Gramian suffices. All shared parameters form one group (the paper's "whole model"; it also groups
    them by layer, with a random order for each group).

    Parameters
    ----------
    beta : float
        β. 0.01 as others report of the paper's experiments; LibMTL and TorchJD take 0.5.
    """

    beta: Annotated[float, Bound(at_least=0, below=1)] = 0.01

    solver_state: ClassVar = ("similarity",)
    draws_orders: ClassVar[bool] = True
    paper: ClassVar[str] = "Wang et al. 2021, arXiv 2010.05874"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        return {
            **super().init_state(tasks, device),
            "similarity": torch.zeros(len(tasks), len(tasks), dtype=torch.float64),
        }

    def solve_with_state(
        self, gramian: Array, chosen: Indices, state: dict[str, Array], draws: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        import numpy as np

        assert draws is not None
        pairs, similarity = np.ix_(chosen, chosen), state["similarity"].copy()
        weights, similarity[pairs] = gradvac_weights(gramian, draws.argsort(1), similarity[pairs], self.beta)
        return weights, {"similarity": similarity}


def gradvac_weights(gramian: Array, order: Indices, similarity: Array, beta: float) -> tuple[Array, Array]:
    """Return w with Σ_t w_t g_t = Σ_t g'_t, and the running mean of the cosines.

    Parameters
    ----------
    gramian : array of shape (K, K)
    order : array of int, shape (K, K)
        Row t: the order in which g'_t meets the gradients; that with itself does nothing.
    similarity : array of shape (K, K)
        φ̂ before this step.
    beta : float
    """
    import numpy as np

    usual = similarity.copy()
    norms, rows = np.sqrt(gramian.diagonal().clip(min=0)), np.arange(len(gramian))
    parts = np.eye(len(gramian))  # row t: g'_t as a combination of the g_s
    for others in order.T:
        who = rows[(others != rows) & (norms[others] > 0) & (norms > 0)]
        seen, mine = others[who], parts[who]
        own = np.sqrt(((mine @ gramian) * mine).sum(1).clip(min=0))
        cosine = (mine * gramian[seen]).sum(1) / np.maximum(own * norms[seen], 1e-300)
        target = usual[who, seen]
        sine, target_sine = np.sqrt((1 - cosine**2).clip(min=0)), np.sqrt((1 - target**2).clip(min=1e-16))
        turn = own * (target * sine - cosine * target_sine) / (norms[seen] * target_sine)
        parts[who, seen] += np.where(cosine < target, turn, 0.0)
        usual[who, seen] = (1 - beta) * target + beta * cosine
    return parts.sum(0), usual
