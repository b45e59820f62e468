"""The tasks' weights W_t: those of the heads' last linear layers, in which regularizers compare tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import nn

from mtl_cli.config.errors import UserError


def last_layer(head: nn.Module, task: str) -> nn.Linear:
    """Return a head's last linear layer. Raises UserError if the head ends in something else."""
    last = list(head)[-1] if isinstance(head, nn.Sequential) else head
    if not isinstance(last, nn.Linear):
        what = f"ends in {type(last).__name__}, and regularizers of the tasks' weights read a linear layer"
        raise UserError(f"model.heads.{task}", what, "regularizer=none, or l2")
    return last


def task_weights(heads: Mapping[str, nn.Module], tasks: Iterable[str] | None = None) -> dict[str, nn.Parameter]:
    """Return W_t of each task, (outputs, width): the weight of its head's last layer, without the bias.

    Parameters
    ----------
    heads : mapping of str to Module
        By task.
    tasks : iterable of str, optional
        Which of them; by default all.
    """
    found: dict[str, nn.Parameter] = {}
    for task in heads if tasks is None else tasks:
        weight = last_layer(heads[task], task).weight
        assert isinstance(weight, nn.Parameter)
        found[task] = weight
    return found


def check_widths(weights: Mapping[str, torch.Tensor], regularizer: str) -> None:
    """Raise UserError, naming each head whose last layer reads another number of units than the first task's."""
    first, width = next((task, weight.shape[1]) for task, weight in weights.items())
    wrong = {task: weight.shape[1] for task, weight in weights.items() if weight.shape[1] != width}
    if wrong:
        heads = ", ".join(f"{task} {own}" for task, own in wrong.items())
        what = f"regularizer={regularizer} stacks the heads' last layers: {first} reads {width} units, {heads}"
        raise UserError(f"model.heads.{next(iter(wrong))}", what, "give all heads the same last hidden width, or none")


def stacked(weights: Iterable[torch.Tensor]) -> torch.Tensor:
    """Return W, the tasks' weights one below the other: a row for each output of each task, (Σ outputs, width)."""
    return torch.cat([*weights])
