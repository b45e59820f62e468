"""The members of a run, networks trained for the same tasks, as one model: their mean, and how far apart they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mtl_cli.data.inputs import InputRows
from mtl_cli.inference.evaluate import outputs
from mtl_cli.models.network import Network
from mtl_cli.tasks.task import Task

Outputs = dict[str, np.ndarray]
"""A model's outputs by task, (n, outputs) or (n, length, outputs)."""


@dataclass(frozen=True)
class Member:
    """One network of a run, and the tasks as they were fitted to the rows that it was trained on."""

    network: Network
    tasks: dict[str, Task]


def outputs_of(member: Member, inputs: InputRows, tasks: Mapping[str, Task]) -> Outputs:
    """Return a member's outputs on rows, as outputs for ``tasks``: the same tasks fitted to all members' rows."""
    found = outputs(member.network, inputs)
    return {name: task.in_own_units(found[name].cpu().numpy(), member.tasks[name]) for name, task in tasks.items()}


def average(found: Sequence[Outputs], tasks: Mapping[str, Task]) -> Outputs:
    """Return the outputs whose predictions are the mean of the members' predictions.

    Of probabilities for classes, and in label units for numbers: see ``Task.average``.
    """
    if len(found) == 1:
        return found[0]
    stacked = {name: torch.from_numpy(np.stack([outputs[name] for outputs in found], axis=1)) for name in tasks}
    return {name: task.average(stacked[name]).numpy() for name, task in tasks.items()}


def calibrated(found: Outputs, tasks: Mapping[str, Task]) -> Outputs:
    """Return outputs after the calibration of each task, if it has any."""
    return {name: tasks[name].calibrated(output) for name, output in found.items()}


def spread(found: Sequence[Outputs], tasks: Mapping[str, Task]) -> dict[str, dict[str, np.ndarray]]:
    """Return by task the columns that say how far the members are apart; none if there is only one."""
    if len(found) == 1:
        return {}
    return {name: task.spread(np.stack([outputs[name] for outputs in found])) for name, task in tasks.items()}
