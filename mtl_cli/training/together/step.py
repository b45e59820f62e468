"""A training step of several members at once, up to the gradients: losses, weights from the balancer, backward.

As ``balancing/step.py`` has it, with a leading member dimension: losses and weights are (M, T) for M members and T
tasks, and what a balancer needs of the tasks' gradients is computed for all members at once. A member that has no batch
in a step is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch

from mtl_cli.balancing.base import State, StepStatistics
from mtl_cli.balancing.gradients import TaskGradients
from mtl_cli.balancing.gradients.reference import products
from mtl_cli.balancing.result import StepResult
from mtl_cli.balancing.scale import to_sum
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.tasks.task import Task
from mtl_cli.training.together.losses import JointLosses, alike, joint_losses
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
        first = steps[0]
        self.state: State = {name: torch.stack([step.state[name] for step in steps]) for name in first.state}
        self.weights = torch.stack([step.weights for step in steps])
        self._head_weights: torch.Tensor | None = None
        known = [step.head_weights for step in steps if step.head_weights is not None]
        if len(known) == len(self.steps):
            self._head_weights = torch.stack(known)
        self._balancer, self._device = first.balancer, first.device
        self._tasks = {name: [cast(Task, step.tasks[name]) for step in steps] for name in first.tasks}
        self._same = alike(self._tasks)

    def keep(self, rows: Sequence[int]) -> None:
        """Drop all members but these."""
        chosen = torch.tensor(rows, device=self._device)
        self.state = {name: values[chosen] for name, values in self.state.items()}
        self.weights = self.weights[chosen]
        self._head_weights = None if self._head_weights is None else self._head_weights[chosen]
        self.steps, self.generators = [self.steps[i] for i in rows], [self.generators[i] for i in rows]
        self._tasks = {name: [tasks[i] for i in rows] for name, tasks in self._tasks.items()}

    def hand_back(self) -> None:
        """Give each member's own step the state that is its balancer's."""
        for i, (step, weights) in enumerate(zip(self.steps, self.weights.unbind(0), strict=True)):
            step.state, step.weights = {name: values[i] for name, values in self.state.items()}, weights
            step.head_weights = None if self._head_weights is None else self._head_weights[i]

    def __call__(self, step: Step, epoch: int) -> list[StepResult]:
        """Put the step's gradients into the network's, and return each member's result."""
        losses = self._losses(step)
        task_weights, balancer = self.steps[0].task_weights, self._balancer
        errors = torch.autograd.grad(
            (losses.attached * task_weights).sum(), losses.outputs, allow_unused=True, materialize_grads=True
        )
        with torch.no_grad():
            gradients = self.network.back_through_heads(errors)
            due = self._due(step.lengths)
            found = self._task_gradients(gradients) if due else TaskGradients()
            direction = self._decide(losses, found, due, epoch)
            of_heads = self.weights if balancer.heads == "weighted" else self._head_weights
            jacobian = None if balancer.at_representation else found.jacobian
            self.network.put_gradients(gradients, self.weights, of_heads, jacobian, direction)
        return self._results(losses, found, due, step.lengths)

    @torch.no_grad()
    def after(self, step: Step) -> None:
        """Let a method that looks ahead see the losses after the optimizer's step; nothing for the others."""
        if not self._balancer.looks_ahead:
            return
        everyone, members = len(self.steps), [i for i, length in enumerate(step.lengths) if length]
        following = self._balancer.after(self.state, self._as_seen(self._losses(step)))
        taken = {name: _take(new, members, everyone) for name, new in following.items()}
        self.state = {name: _put(self.state.get(name), members, new, everyone) for name, new in taken.items()}

    def _losses(self, step: Step) -> JointLosses:
        """Run the members; return the losses of their rows."""
        with torch.no_grad():
            outputs = self.network(step.batch.inputs, step.lengths, self.generators)  # type: ignore[arg-type]
        return joint_losses(self._tasks, self._same, step, outputs)

    def _due(self, lengths: Sequence[int]) -> dict[int, list[int]]:
        """Return the members whose balancer is to decide, by how many steps each has taken.

        Members of the same number of steps are decided for in one call: a method may go by that number.
        """
        balancer, found = self._balancer, dict[int, list[int]]()
        for i, (step, length) in enumerate(zip(self.steps, lengths, strict=True)):
            always = balancer.needs == "losses" or step.directed
            if length and (always or step.steps % balancer.update_every == 0):
                found.setdefault(step.steps, []).append(i)
        return found

    def _task_gradients(self, gradients: torch.Tensor) -> TaskGradients:
        """Return what the balancer needs of the tasks' gradients, for those at the representation, (M, n, T, width)."""
        needs = self._balancer.needs
        if needs == "losses":
            return TaskGradients()
        if needs == "norms":
            return TaskGradients(norms=self.network.norms(gradients))
        if self._balancer.at_representation:
            jacobian = gradients.transpose(1, 2).flatten(2)
        else:
            jacobian = self.network.jacobian(gradients)
        return TaskGradients(gramian=torch.stack([products(own) for own in jacobian]), jacobian=jacobian)

    def _as_seen(self, losses: JointLosses) -> torch.Tensor:
        return losses.means * self.steps[0].task_weights + self._balancer.shift

    def _decide(
        self, losses: JointLosses, gradients: TaskGradients, due: dict[int, list[int]], epoch: int
    ) -> torch.Tensor | None:
        """Ask the balancer; keep its state, and the weights to use. Return the shared parameters' direction, if any."""
        balancer, everyone, seen = self._balancer, len(self.steps), self._as_seen(losses)
        awake = (self.steps[0].task_weights > 0).expand_as(seen)
        present = awake if isinstance(losses.counts, int) else awake & (losses.counts > 0)
        jacobian = gradients.jacobian if balancer.needs == "jacobian" else None
        every = {"losses": seen, "present": present, "norms": gradients.norms, "gramian": gradients.gramian}
        every["jacobian"] = jacobian
        width = 0 if jacobian is None else jacobian.shape[2]
        direction: torch.Tensor | None = None
        for number, members in due.items():
            draws = [balancer.draw(len(self._tasks), width, self._device, self.steps[i].generator) for i in members]
            drawn = [draw for draw in draws if draw is not None]
            own = {name: _take(values, members, everyone) for name, values in every.items() if values is not None}
            statistics = StepStatistics(**own, draws=torch.stack(drawn) if drawn else None, epoch=epoch, step=number)
            state = {name: _take(values, members, everyone) for name, values in self.state.items()}
            decision = balancer.decide(state, statistics)
            if balancer.scale == "sum":
                decision = to_sum(decision, statistics.present)
            before = _take(self.weights, members, everyone)
            weights = decision.weights.where(statistics.present, before)
            self.weights = _put(self.weights, members, weights, everyone)
            self.state = {
                name: _put(self.state.get(name), members, new, everyone) for name, new in decision.state.items()
            }
            if decision.head_weights is not None:
                self._head_weights = _put(self._head_weights, members, decision.head_weights, everyone)
            if decision.direction is not None:
                direction = _put(direction, members, decision.direction, everyone)
            columns = {name: values.unbind(0) for name, values in decision.columns.items()}
            for place, i in enumerate(members):
                self.steps[i].columns = {name: values[place] for name, values in columns.items()}
                self.steps[i].directed = decision.direction is not None
        return direction

    def _results(
        self, losses: JointLosses, gradients: TaskGradients, due: dict[int, list[int]], lengths: Sequence[int]
    ) -> list[StepResult]:
        found, deciding = [], {i for members in due.values() for i in members}
        gramians = None if gradients.gramian is None else gradients.gramian.unbind(0)
        sizes = gradients.norms if gradients.gramian is None else gradients.gramian.diagonal(dim1=-2, dim2=-1)
        counts = losses.counts
        every = zip(losses.means.unbind(0), self.weights.unbind(0), self.steps, strict=True)
        for i, (means, weights, step) in enumerate(every):
            step.steps += lengths[i] > 0
            step.weights = weights
            size = None
            if i in deciding:
                step.seen_step = step.steps
                size = None if sizes is None else sizes[i]
                step.gramian = None if gramians is None else gramians[i]
            count = counts if isinstance(counts, int) else counts[i]
            found.append(StepResult(means, count, weights, step.columns, step.gramian, size, step.seen_step))
        return found


def _take(values: torch.Tensor, members: list[int], everyone: int) -> torch.Tensor:
    """Return these members' rows."""
    return values if len(members) == everyone else values[members]


def _put(values: torch.Tensor | None, members: list[int], new: torch.Tensor, everyone: int) -> torch.Tensor:
    """Return ``values`` with these members' rows anew; without any, the others' are 0."""
    if len(members) == everyone:
        return new
    if values is None:
        values = new.new_zeros(everyone, *new.shape[1:])
    if values.shape[1:] != new.shape[1:]:  # a state that is as wide as the gradients once they are known
        values = values.expand(everyone, *new.shape[1:])
    found = values.clone()
    found[members] = new
    return found
