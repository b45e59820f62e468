"""IMTL-L: losses brought to the same scale by learnt factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "imtl_l")
@dataclass(frozen=True, kw_only=True)
class ImpartialLosses(Balancer):
    """Σ_t exp(s_t) L_t − s_t with learnt s_t: w_t = exp(s_t), which descends to 1 / L_t.

    Liu et al. (ICLR 2021, "Towards Impartial Multi-task Learning", the loss balance, with a = e). The gradient in
    s is known, exp(s_t) L_t − 1, so that s descends by an Adam optimizer of its own and nothing of it reaches the
    network.

    Parameters
    ----------
    lr : float
        Of s. The paper learns it with the network's optimizer.
    """

    lr: PositiveFloat = 0.025

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "nonnegative"
    paper: ClassVar[str] = "Liu et al. 2021, openreview IMPnRXEWpvr"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        return adam.init_state("log_scale", torch.zeros(len(tasks), device=device))

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        weights = state["log_scale"].exp()
        slope = weights * statistics.losses - 1
        return Decision(weights, adam.step(state, "log_scale", slope, self.lr, statistics.present))
