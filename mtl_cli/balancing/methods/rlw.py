"""Random loss weighting: weights drawn anew in every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.balancing.few import keep_absent
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "rlw")
@dataclass(frozen=True, kw_only=True)
class RandomWeighting(Balancer):
    """w = softmax(ξ), ξ_t ~ N(0, 1), drawn in every step.

    Lin, Ye, Zhang & Tsang (TMLR 2022, arXiv 2111.10603; of its distributions the normal one). The weights sum to
    1, so the step is 1/T of that of the plain sum; ``scale: sum`` brings them to T. With tasks absent, those
    present share the 1.
    """

    needs: ClassVar[Needs] = "losses"
    paper: ClassVar[str] = "Lin et al. 2022, arXiv 2111.10603"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        return {"weights": torch.full((len(tasks),), 1 / len(tasks), device=device)}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import torch

        drawn = torch.randn(len(statistics.losses), generator=statistics.generator)
        drawn = drawn.to(statistics.losses.device, non_blocking=True)
        if statistics.present is not None:
            drawn = drawn.where(statistics.present, -torch.inf)
        weights = keep_absent(torch, drawn.softmax(0), state["weights"], statistics.present)
        return Decision(weights, {"weights": weights})
