"""Geometric loss strategy: the geometric mean of the losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.registry import component


@component("balancer", "gls")
@dataclass(frozen=True, kw_only=True)
class GeometricMean(Balancer):
    """w_t = M / (T L_t), M = (Π_t L_t)^(1/T): the gradient of the geometric mean M of the losses.

    Chennupati et al. (CVPR workshops 2019, arXiv 1904.08492). With tasks absent, T and M are of those present.
    """

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "positive"
    paper: ClassVar[str] = "Chennupati et al. 2019, arXiv 1904.08492"

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        losses, present = statistics.losses, statistics.present
        count = present.sum(-1, keepdim=True).clamp(min=1)
        mean = (losses.log().where(present, 0.0).sum(-1, keepdim=True) / count).exp()
        weights = (mean / (count * losses)).where(present, state["weights"])
        return Decision(weights, {"weights": weights})
