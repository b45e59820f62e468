"""Weights that the user chooses."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.errors import Problem, unknown_tasks
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

Scheme = Literal["linear", "doubling", "halving"]


def level_weights(scheme: Scheme, levels: int) -> list[float]:
    """Return the weights of levels from coarse to fine, whose mean is 1.

    In proportion to 1, 2, 3, … (``linear``), to 1, 2, 4, … (``doubling``: what tells the finest classes apart counts
    most) or to 1, 1/2, 1/4, … (``halving``: a wrong branch counts most).
    """
    raw = [{"linear": k + 1.0, "doubling": 2.0**k, "halving": 0.5**k}[scheme] for k in range(levels)]
    return [weight * levels / sum(raw) for weight in raw]


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
    scheme : {"linear", "doubling", "halving"}, optional
        In place of ``in_order``, how the weights go from the coarsest level to the finest; see ``level_weights``.
    levels : list of str, optional
        The tasks that ``scheme`` is for, coarse to fine; all tasks in their order where None.
    """

    weights: dict[str, NonNegativeFloat] = field(default_factory=dict)
    in_order: list[NonNegativeFloat] = field(default_factory=list)
    scheme: Scheme | None = None
    levels: list[str] | None = None

    needs: ClassVar[Needs] = "losses"

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        yield from unknown_tasks(self.weights, tasks, "balancer.weights")
        yield from unknown_tasks(self.levels or [], tasks, "balancer.levels")
        if self.scheme is not None and self.in_order:
            yield Problem("balancer.scheme", "cannot be combined with balancer.in_order", "leave one of them out")
        if self.levels is not None and self.scheme is None:
            yield Problem("balancer.levels", "is for a scheme", "balancer.scheme=linear, doubling or halving")
        if self.levels is not None and len(set(self.levels)) < max(2, len(self.levels)):
            yield Problem("balancer.levels", "needs two levels or more, each named once", "coarse to fine")

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        chosen = dict(zip(tasks, self.in_order, strict=False))
        if self.scheme is not None:
            levels = tasks if self.levels is None else self.levels
            chosen = dict(zip(levels, level_weights(self.scheme, len(levels)), strict=True))
        chosen |= self.weights
        return {"weights": torch.tensor([chosen.get(task, 1.0) for task in tasks], device=device)}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        return Decision(state["weights"], state)
