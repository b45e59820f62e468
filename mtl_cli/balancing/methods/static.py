"""Weights that the user chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.errors import Problem, unknown_tasks
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "static")
@dataclass(frozen=True, kw_only=True)
class Static(Balancer):
    """w_t as given: the loss is Σ_t w_t L_t.

    Parameters
    ----------
    weights : dict of str to float
        By task.
    in_order : list of float
        The weights of the first task, the second, and so on, such as levels from coarse to fine, where ``weights`` does
        not name them; there may be more of them than tasks. A task that neither has a weight for has 1.
    """

    weights: dict[str, NonNegativeFloat] = field(default_factory=dict)
    in_order: list[NonNegativeFloat] = field(default_factory=list)

    needs: ClassVar[Needs] = "losses"

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        yield from unknown_tasks(self.weights, tasks, "balancer.weights")

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        chosen = dict(zip(tasks, self.in_order, strict=False)) | self.weights
        return {"weights": torch.tensor([chosen.get(task, 1.0) for task in tasks], device=device)}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        return Decision(state["weights"], state)
