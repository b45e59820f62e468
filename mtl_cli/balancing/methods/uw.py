"""Uncertainty weighting: weights from learnt noise variances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "uw")
@dataclass(frozen=True, kw_only=True)
class UncertaintyWeighting(Balancer):
    """Σ_t L_t / (2 σ_t²) + log σ_t with learnt σ_t: w_t = ½ exp(−s_t), s_t = log σ_t².

    Kendall, Gal & Cipolla (CVPR 2018, arXiv 1705.07115, equation 7). The gradient in s is known, ½ (1 − exp(−s_t)
    L_t), so that s descends by an Adam optimizer of its own and nothing of it reaches the network.

    Parameters
    ----------
    lr : float
        Of s. The paper learns it with the network's optimizer.
    initial : float
        s at the start; 0 is σ = 1.

    Notes
    -----
    The paper gives classification the factor 1/σ² rather than 1/(2σ²). Here every task has the factor ½; at
    the optimum both give w_t = 1 / (2 L_t). s does not decay.
    """

    lr: PositiveFloat = 0.025
    initial: float = 0.0

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "nonnegative"
    paper: ClassVar[str] = "Kendall et al. 2018, arXiv 1705.07115"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        return adam.init_state("log_variance", torch.full((len(tasks),), self.initial, device=device))

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        log_variance = state["log_variance"]
        weights = 0.5 * (-log_variance).exp()
        slope = 0.5 - weights * statistics.losses
        following = adam.step(state, "log_variance", slope, self.lr, statistics.present)
        return Decision(weights, following, {"log_variance": log_variance})
