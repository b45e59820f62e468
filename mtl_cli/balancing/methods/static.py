"""Weights that the user chooses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.balancer import Balancer, Needs, Observed, State, Weighing
from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config, unknown_tasks

if TYPE_CHECKING:
    import torch


@component("balancer", "static")
@dataclass(frozen=True, kw_only=True)
class Static(Balancer):
    """w_t as given: the loss is Σ_t w_t L_t.

    Parameters
    ----------
    weights : dict of str to float
        By task; a task that is not named has weight 1.
    """

    weights: dict[str, NonNegativeFloat] = field(default_factory=dict)

    needs: ClassVar[Needs] = "losses"

    def check(self, config: Config) -> Iterator[Problem]:
        yield from unknown_tasks(self.weights, list(config.tasks or {}), "balancer.weights")

    def start(self, tasks: list[str], device: torch.device) -> State:
        import torch

        return {"weights": torch.tensor([self.weights.get(task, 1.0) for task in tasks], device=device)}

    def weigh(self, state: State, observed: Observed) -> Weighing:
        return Weighing(state["weights"], state)
