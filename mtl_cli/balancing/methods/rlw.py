"""Random loss weighting: weights drawn at random in every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
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

    def draw(self, tasks: int, parameters: int, device: torch.device, generator: torch.Generator) -> torch.Tensor:
        import torch

        return torch.randn(tasks, generator=generator).to(device, non_blocking=True)

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import torch

        assert statistics.draws is not None
        present = statistics.present
        weights = statistics.draws.where(present, -torch.inf).softmax(-1).where(present, state["weights"])
        return Decision(weights, {"weights": weights})
