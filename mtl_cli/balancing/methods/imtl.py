"""IMTL: losses at the same scale and gradients with the same projection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.base import Decision, GramianBalancer, State, StepStatistics
from mtl_cli.balancing.methods.imtl_g import imtl_g_weights
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.solvers.linalg import Array, Indices


@component("balancer", "imtl")
@dataclass(frozen=True, kw_only=True)
class Impartial(GramianBalancer):
    """w_t = α_t exp(s_t): s as in ``imtl_l``, α as in ``imtl_g`` for the gradients exp(s_t) g_t.

    Liu et al. (ICLR 2021, "Towards Impartial Multi-task Learning", the hybrid balance).

    Parameters
    ----------
    lr : float
        Of s.

    Notes
    -----
    The paper takes the gradients at z: ``geometry: representation``. With ``heads: unit``, the default, a head is
    trained on exp(s_t) L_t as in the paper, with ``heads: weighted`` on α_t exp(s_t) L_t. exp(s_t) is written to the
    weights file as ``scale_<task>``.
    """

    lr: PositiveFloat = 0.025

    needs_losses: ClassVar = "nonnegative"
    solver_state: ClassVar = ("log_scale",)
    paper: ClassVar[str] = "Liu et al. 2021, openreview IMPnRXEWpvr"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        zeros = torch.zeros(len(tasks), device=device)
        return {**super().init_state(tasks, device), **adam.init_state("log_scale", zeros)}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        decision, scales = super().decide(state, statistics), state["log_scale"].exp()
        moved = adam.step(state, "log_scale", scales * statistics.losses - 1, self.lr, statistics.present)
        return decision._replace(state={**decision.state, **moved}, head_weights=scales, columns={"scale": scales})

    def solve_with_state(
        self, gramian: Array, chosen: Indices, state: dict[str, Array], draws: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        import numpy as np

        scales = np.exp(state["log_scale"][chosen])
        return scales * imtl_g_weights(gramian * scales * scales[:, None]), {}
