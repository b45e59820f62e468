"""Scale-invariant sum: every task by the logarithm of its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.registry import component


@component("balancer", "si")
@dataclass(frozen=True, kw_only=True)
class ScaleInvariant(Balancer):
    """w_t = 1 / L_t: the gradient of Σ_t log L_t.

    The baseline "SI" of Navon et al. (ICML 2022, arXiv 2202.01017). A constant factor on a task's loss changes nothing.
    """

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "positive"
    paper: ClassVar[str] = "Navon et al. 2022, arXiv 2202.01017"

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        weights = statistics.losses.reciprocal().where(statistics.present, state["weights"])
        return Decision(weights, {"weights": weights})
