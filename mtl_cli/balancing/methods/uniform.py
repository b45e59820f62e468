"""The plain sum of the losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.registry import component


@component("balancer", "uniform")
@dataclass(frozen=True, kw_only=True)
class Uniform(Balancer):
    """w_t = 1 for every task: the loss is Σ_t L_t."""

    needs: ClassVar[Needs] = "losses"

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        return Decision(state["weights"], state)
