"""A balancer: `mtl train dataset=wine balancer=worst_first`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mtl_cli.balancing.base import (
    Balancer,
    Decision,
    Needs,
    State,
    StepStatistics,
)
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.registry import component


@component("balancer", "worst_first")
@dataclass(frozen=True, kw_only=True)
class WorstFirst(Balancer):
    """w = T softmax(L / τ): the largest loss gets the largest weight."""

    temperature: PositiveFloat = 1.0

    needs: ClassVar[Needs] = "losses"

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        losses = statistics.losses  # (…, T), detached; 0 for an absent task
        shares = (losses / self.temperature).softmax(-1)
        return Decision(shares * losses.shape[-1], state)
