"""A training step of several members at once, up to the gradients: losses, weights from the balancer, backward.

As ``balancing/step.py`` has it for a balancer that needs the losses alone, with a leading member dimension: losses and
weights are (M, T) for M members and T tasks. A member that has no batch in a step is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from mtl_cli.balancing.base import State, StepStatistics
from mtl_cli.balancing.result import StepResult
from mtl_cli.balancing.scale import to_sum
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.tasks.task import Task
from mtl_cli.training.together.network import BatchedNetwork
from mtl_cli.training.together.rows import Step


class JointStep:
    """Computes the gradients of a step of all members.

    Parameters
    ----------
    network : BatchedNetwork
    steps : sequence of TrainingStep
        Each member's own: its tasks, its balancer's state, its draws.
    generators : sequence of Generator
        Of each member's dropout.
    """

    def __init__(
        self, network: BatchedNetwork, steps: Sequence[TrainingStep], generators: Sequence[torch.Generator]
    ) -> None:
        self.network, self.steps, self.generators = network, list(steps), list(generators)
        self.state: State = {name: torch.stack([step.state[name] for step in steps]) for name in steps[0].state}
        self.weights = torch.stack([step.weights for step in steps])
        first = steps[0]
        self._balancer, self._device = first.balancer, first.device
        self._tasks = {name: [cast(Task, step.tasks[name]) for step in steps] for name in first.tasks}
        self._alike = {name: all(own.same_loss(tasks[0]) for own in tasks) for name, tasks in self._tasks.items()}

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all members but these."""
        chosen = torch.tensor(rows, device=self._device)
        self.state = {name: values[chosen] for name, values in self.state.items()}
        self.weights = self.weights[chosen]
        self.steps, self.generators = [self.steps[i] for i in rows], [self.generators[i] for i in rows]
        self._tasks = {name: [tasks[i] for i in rows] for name, tasks in self._tasks.items()}

    def hand_back(self) -> None:
        """Give each member's own step the state that is its balancer's."""
        for i, (step, weights) in enumerate(zip(self.steps, self.weights.unbind(0), strict=True)):
            step.state, step.weights = {name: values[i] for name, values in self.state.items()}, weights

    def __call__(self, step: Step, epoch: int) -> list[StepResult]:
        """Put the step's gradients into the network's, and return each member's result."""
        outputs = self.network(step.batch.inputs, step.lengths, self.generators)  # type: ignore[arg-type]
        found = [self._loss(name, outputs[name], step) for name in self._tasks]
        rows = torch.stack([losses for losses, _ in found], 1)
        values = rows.detach()
        counts, shares = _shares(values, [weights for _, weights in found])
        means = values.mean(2) if shares is None else (values * shares).sum(2)
        columns = self._decide(means, counts, epoch, step.lengths)
        factors = self.weights * self.steps[0].task_weights
        if shares is None:
            upstream = (factors / values.shape[2]).unsqueeze(2).expand_as(values)
        else:
            upstream = shares * factors.unsqueeze(2)
        self.network.backward(rows, upstream)
        return self._results(means, counts, columns, step.lengths)

    def _loss(self, name: str, output: torch.Tensor, step: Step) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return each row's loss, (M, n), and its weight; in one call where members' losses do not differ."""
        tasks, target, mask = self._tasks[name], step.batch.targets[name], step.batch.masks[name]
        if step.padded is not None:
            mask = step.padded if mask is None else mask * step.padded
        if tasks[0].couples:
            weights = torch.ones_like(output[..., 0]) if mask is None else mask
            found = [task.batch_loss(*own) for task, *own in zip(tasks, output, target, weights, strict=True)]
            return torch.stack([losses for losses, _ in found]), torch.stack([w for _, w in found if w is not None])
        if self._alike[name]:
            return tasks[0].loss(output.flatten(0, 1), target.flatten(0, 1)).view(output.shape[:2]), mask
        return torch.stack([task.loss(own, y) for task, own, y in zip(tasks, output, target, strict=True)]), mask

    @torch.no_grad()
    def _decide(self, means: torch.Tensor, counts: torch.Tensor | int, epoch: int, lengths: Sequence[int]) -> State:
        """Ask the balancer for all members; keep its state, and the weights to use. Return its columns."""
        balancer, task_weights = self._balancer, self.steps[0].task_weights
        awake = (task_weights > 0).expand_as(means)
        present = awake if isinstance(counts, int) else awake & (counts > 0)
        seen = means * task_weights + balancer.shift
        tasks = len(self._tasks)
        draws = [
            balancer.draw(tasks, 0, self._device, step.generator) if length else None
            for step, length in zip(self.steps, lengths, strict=True)
        ]
        known = [draw for draw in draws if draw is not None]
        drawn = None
        if known:
            drawn = torch.stack([torch.zeros_like(known[0]) if draw is None else draw for draw in draws])
        statistics = StepStatistics(
            seen, present, None, None, None, drawn, epoch, max(step.steps for step in self.steps)
        )
        decision = balancer.decide(self.state, statistics)
        if balancer.scale == "sum":
            decision = to_sum(decision, present)
        active = torch.tensor([length > 0 for length in lengths], device=self._device)
        whole = all(lengths)
        self.weights = decision.weights.where(present, self.weights)
        self.state = {
            name: new if whole else new.where(active.view(-1, *[1] * (new.dim() - 1)), self.state[name])
            for name, new in decision.state.items()
        }
        return dict(decision.columns)

    def _results(
        self, means: torch.Tensor, counts: torch.Tensor | int, columns: State, lengths: Sequence[int]
    ) -> list[StepResult]:
        found = []
        by_member = {name: values.unbind(0) for name, values in columns.items()}
        rows = zip(means.unbind(0), self.weights.unbind(0), self.steps, strict=True)
        for i, (losses, weights, step) in enumerate(rows):
            step.steps += lengths[i] > 0
            step.seen_step, step.weights = step.steps, weights
            own = counts if isinstance(counts, int) else counts[i]
            found.append(
                StepResult(losses, own, weights, {k: v[i] for k, v in by_member.items()}, seen_step=step.steps)
            )
        return found


def _shares(
    values: torch.Tensor, weights: Sequence[torch.Tensor | None]
) -> tuple[torch.Tensor | int, torch.Tensor | None]:
    """Return the rows with a label, (M, T) or the number of all, and each row's share in the mean, (M, T, n).

    Parameters
    ----------
    values : Tensor of shape (M, T, n)
    weights : sequence of Tensor of shape (M, n), or None
        By task, how much each row counts; None says 1 for all.
    """
    if all(own is None for own in weights):
        return values.shape[2], None
    every = torch.ones_like(values[:, 0])
    labelled = torch.stack([every if own is None else own for own in weights], 1)
    counts = labelled.sum(2)
    return counts, labelled / counts.where(counts > 0, 1.0).unsqueeze(2)
