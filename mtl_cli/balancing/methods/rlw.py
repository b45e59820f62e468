"""Random loss weighting: weights drawn anew in every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.balancer import Balancer, Needs, Observed, State, Weighing
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

    def start(self, tasks: list[str], device: torch.device) -> State:
        import torch

        return {"weights": torch.full((len(tasks),), 1 / len(tasks), device=device)}

    def weigh(self, state: State, observed: Observed) -> Weighing:
        import torch

        drawn = torch.randn(len(observed.losses), generator=observed.generator)
        drawn = drawn.to(observed.losses.device, non_blocking=True)
        if observed.present is not None:
            drawn = drawn.where(observed.present, -torch.inf)
        weights = keep_absent(torch, drawn.softmax(0), state["weights"], observed.present)
        return Weighing(weights, {"weights": weights})
