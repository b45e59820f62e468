"""The losses of a step of several members: per row from each member's tasks, and the mean over rows with a label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from mtl_cli.tasks.task import Task
from mtl_cli.training.together.rows import Step


class JointLosses(NamedTuple):
    """The members' losses of a step.

    Parameters
    ----------
    outputs : list of Tensor
        The heads'.
    attached : Tensor of shape (M, T)
        Means over the rows with a label, with their graph, which begins at ``outputs``; 0 where there is none.
    means : Tensor of shape (M, T)
        The same without it.
    counts : Tensor of shape (M, T), or int
        Rows with a label.
    """

    outputs: list[torch.Tensor]
    attached: torch.Tensor
    means: torch.Tensor
    counts: torch.Tensor | int


def alike(tasks: Mapping[str, Sequence[Task]]) -> set[str]:
    """Return the tasks whose loss is the same for all members, whatever rows each was fitted to."""
    return {name for name, own in tasks.items() if all(task.same_loss(own[0]) for task in own)}


def joint_losses(
    tasks: Mapping[str, Sequence[Task]], same: set[str], step: Step, outputs: Mapping[str, torch.Tensor]
) -> JointLosses:
    """Return the losses of the heads' outputs, which are to have no graph.

    Parameters
    ----------
    tasks : mapping of str to sequence of Task
        Each member's, by name.
    same : set of str
        Those that are ``alike``.
    step : Step
    outputs : mapping of str to Tensor of shape (M, n, outputs)
    """
    leaves = {name: outputs[name].requires_grad_() for name in tasks}
    found = [_of_rows(name, own, name in same, leaves[name], step) for name, own in tasks.items()]
    rows = torch.stack([losses for losses, _ in found], 1)
    counts, shares = _shares(rows.detach(), [weights for _, weights in found])
    means = (rows * shares).sum(2)
    return JointLosses(list(leaves.values()), means, means.detach(), counts)


def _of_rows(
    name: str, tasks: Sequence[Task], same: bool, output: torch.Tensor, step: Step
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Return each row's loss, (M, n), and its weight; in one call where members' losses do not differ."""
    target, mask = step.batch.targets[name], step.batch.masks[name]
    if step.padded is not None:
        mask = step.padded if mask is None else mask * step.padded
    if tasks[0].couples:
        weights = torch.ones_like(output[..., 0]) if mask is None else mask
        found = [task.batch_loss(*own) for task, *own in zip(tasks, output, target, weights, strict=True)]
        return torch.stack([losses for losses, _ in found]), torch.stack([w for _, w in found if w is not None])
    if same:
        return tasks[0].loss(output.flatten(0, 1), target.flatten(0, 1)).view(output.shape[:2]), mask
    return torch.stack([task.loss(own, y) for task, own, y in zip(tasks, output, target, strict=True)]), mask


def _shares(values: torch.Tensor, weights: Sequence[torch.Tensor | None]) -> tuple[torch.Tensor | int, torch.Tensor]:
    """Return the rows with a label, (M, T) or the number of all, and each row's share in the mean, (M, T, n).

    Parameters
    ----------
    values : Tensor of shape (M, T, n)
    weights : sequence of Tensor of shape (M, n), or None
        By task, how much each row counts; None says 1 for all.
    """
    if all(own is None for own in weights):
        return values.shape[2], torch.full_like(values, 1 / values.shape[2])
    every = torch.ones_like(values[:, 0])
    labelled = torch.stack([every if own is None else own for own in weights], 1)
    counts = labelled.sum(2)
    return counts, labelled / counts.where(counts > 0, 1.0).unsqueeze(2)
