"""What a step leaves beside the gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import torch

from mtl_cli.balancing.look import SharedModel


class StepResult(NamedTuple):
    """What a step leaves beside the gradients; all tensors, none waited for. T is the number of tasks.

    Parameters
    ----------
    losses : Tensor of shape (T,)
        As the tasks compute them.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    weights : Tensor of shape (T,)
        The balancer's weights, as used.
    seen : mapping of str to Tensor
        What the balancer went by.
    gramian : Tensor of shape (T, T), optional
        Likewise, for a balancer that needs it.
    sizes : Tensor, optional
        Numbers that are finite where the tasks' gradients are: of shape (T,) from a balancer that looks at them
        otherwise, or what ``Tellers`` returned.
    seen_step : int
        The step, from 1, in which the balancer weighed last, and saw what is here.
    """

    losses: torch.Tensor
    counts: torch.Tensor | int
    weights: torch.Tensor
    seen: Mapping[str, torch.Tensor]
    gramian: torch.Tensor | None = None
    sizes: torch.Tensor | None = None
    seen_step: int = 0


class Tellers:
    """A few numbers of each head's gradient: where they are finite, so is the task's gradient.

    Parameters
    ----------
    model : SharedModel
    tasks : iterable of str
    """

    def __init__(self, model: SharedModel, tasks: Iterable[str]) -> None:
        trained = [[p for p in model.head_parameters(name) if p.requires_grad] for name in tasks]
        self._each = [min(own, key=torch.numel, default=None) for own in trained]  # such as the last bias
        self._sizes = [0 if parameter is None else parameter.numel() for parameter in self._each]

    def __call__(self) -> torch.Tensor | None:
        """Return the numbers of all heads, one after the other; None if a head has none, or no gradient."""
        told = [p.grad.flatten() for p in self._each if p is not None and p.grad is not None]
        return torch.cat(told) if len(told) == len(self._each) else None

    def by_task(self, told: torch.Tensor) -> torch.Tensor:
        """Return, in the last dimension, a number per task that is finite where all of its numbers are."""
        return torch.stack([own.sum(-1) for own in torch.split_with_sizes(told, self._sizes, -1)], -1)
