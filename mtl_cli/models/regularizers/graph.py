"""A graph of tasks: linked ones are pulled together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.errors import Problem, UserError, unknown_tasks
from mtl_cli.config.registry import component
from mtl_cli.models.regularizer import Regularizer, RegularizerConfig, Training

if TYPE_CHECKING:
    import torch
    from torch import nn

Edges = dict[tuple[str, str], float]


@component("regularizer", "graph")
@dataclass(frozen=True, kw_only=True)
class Graph(RegularizerConfig):
    """λ Σ_ij γ_ij ‖W_i − W_j‖² over the linked pairs of tasks, each pair once.

    W_i is the weight of the last linear layer of task i's head, (outputs, units), without its bias. Evgeniou, Micchelli
    & Pontil (JMLR 2005, vol. 6, 615–637) have it among their examples of linear multi-task kernels. Only tasks whose W
    are of one shape can be compared.

    Parameters
    ----------
    edges : list of (task, task, γ), or {"correlation", "all"}
        Correlation: γ_ij is the Pearson correlation of the two tasks' encoded labels over the training rows that have
        both, where that is positive; for tasks with one number or one yes-or-no per row, between which it means
        something. All: γ = 1 for every pair that can be compared, which pulls the tasks to their mean.
    strength : float
        λ.
    """

    edges: list[tuple[str, str, NonNegativeFloat]] | Literal["correlation", "all"] = "correlation"
    strength: NonNegativeFloat = 0.1

    compares_heads: ClassVar[bool] = True

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield each edge that names no task, or links a task to itself or a pair again."""
        if len(tasks) < 2:
            yield Problem("regularizer", "a graph needs two tasks, and there is one", "regularizer=none")
        seen: set[frozenset[str]] = set()
        for a, b, _ in self.edges if isinstance(self.edges, list) else []:
            yield from unknown_tasks([a, b], tasks, "regularizer.edges")
            if a == b:
                yield Problem("regularizer.edges", f"links {a} to itself")
            elif frozenset((a, b)) in seen:
                yield Problem("regularizer.edges", f"links {a} and {b} twice")
            seen.add(frozenset((a, b)))

    def build(self, training: Training) -> Regularizer:
        from mtl_cli.models.task_weights import task_weights

        weights = task_weights(training.network.heads)
        found = self._edges(training, weights)
        return _Graph([(weights[a], weights[b]) for a, b in found], list(found.values()), self.strength)

    def _edges(self, training: Training, weights: Mapping[str, nn.Parameter]) -> Edges:
        if isinstance(self.edges, list):
            found = {(a, b): strength for a, b, strength in self.edges}
            wrong = [(a, b) for a, b in found if weights[a].shape != weights[b].shape]
            if wrong:
                raise UserError.of(_not_comparable(a, b, weights) for a, b in wrong)
            return found
        pairs = [(a, b) for a, b in combinations(weights, 2) if weights[a].shape == weights[b].shape]
        if not pairs:
            raise UserError.of([_not_comparable(a, b, weights) for a, b in combinations(weights, 2)][:1])
        if self.edges == "all":
            return dict.fromkeys(pairs, 1.0)
        edges = _correlations(training, pairs)
        shown = ", ".join(f"{a}–{b} {strength:.2f}" for (a, b), strength in list(edges.items())[:10])
        more = f", and {len(edges) - 10} more" if len(edges) > 10 else ""
        training.notice(f"regularizer: tasks linked by the correlation of their labels: {(shown + more) or 'none'}")
        return edges


def _not_comparable(a: str, b: str, weights: Mapping[str, nn.Parameter]) -> Problem:
    one, other = (" × ".join(map(str, weights[task].shape)) for task in (a, b))
    what = f"{a} and {b} cannot be compared: the last layer of {a}'s head has {one} weights, that of {b} {other}"
    return Problem("regularizer.edges", what, "link tasks with as many outputs and units")


def _correlations(training: Training, pairs: list[tuple[str, str]]) -> Edges:
    """Return the positive correlations of the tasks' targets, over the rows where both have one."""
    import torch

    found: Edges = {}
    for a, b in pairs:
        one, other = (training.batches.targets[task].double().cpu() for task in (a, b))
        if one.dim() > 1 or other.dim() > 1 or training.tasks[a].outputs > 1:
            continue
        both = torch.ones(len(one), dtype=torch.bool)
        for mask in (training.batches.masks[task] for task in (a, b)):
            both &= mask.cpu() > 0 if mask is not None else both
        if both.sum() >= 3:
            value = float(torch.corrcoef(torch.stack([one[both], other[both]]))[0, 1])
            if value > 0:  # not where a label is constant, and the correlation no number
                found[a, b] = value
    return found


class _Graph(Regularizer):
    def __init__(self, pairs: list[tuple[nn.Parameter, nn.Parameter]], edges: list[float], strength: float) -> None:
        self._pairs = pairs
        self._factors = [strength * edge for edge in edges]

    def weights(self) -> list[nn.Parameter]:
        return list({id(weight): weight for pair in self._pairs for weight in pair}.values())

    def penalty(self, present: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        if not self._pairs:
            return torch.zeros(())
        terms = [f * (a - b).square().sum() for f, (a, b) in zip(self._factors, self._pairs, strict=True)]
        return torch.stack(terms).sum()
