"""What a training step leaves beside the gradients: its result, and a row of the weights file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

from mtl_cli.balancing.model import SharedModel

MOST_TASKS = 8
"""Up to this many tasks the cosines are written pair by pair."""


class StepResult(NamedTuple):
    """Result of one training step; all tensors, none waited for. T is the number of tasks.

    Parameters
    ----------
    losses : Tensor of shape (T,)
        As the tasks compute them.
    counts : Tensor of shape (T,), or int
        Rows with a label.
    weights : Tensor of shape (T,)
        The balancer's weights, as used.
    columns : mapping of str to Tensor
        Further columns of the weights file, from the balancer.
    gramian : Tensor of shape (T, T), optional
        Of the tasks' gradients, for a balancer that needs it.
    sizes : Tensor, optional
        Numbers that are finite where the tasks' gradients are: of shape (T,) from a balancer that needs gradients,
        otherwise what ``HeadProbe`` returned.
    seen_step : int
        The step, from 1, in which the balancer last decided, and ``columns`` and ``gramian`` were made.
    """

    losses: torch.Tensor
    counts: torch.Tensor | int
    weights: torch.Tensor
    columns: Mapping[str, torch.Tensor]
    gramian: torch.Tensor | None = None
    sizes: torch.Tensor | None = None
    seen_step: int = 0

    def row(self, tasks: Sequence[str]) -> dict[str, float]:
        """Return the columns of the weights file: the weights, the balancer's, and those of ``gramian_columns``."""
        found: dict[str, float] = {}
        for column, values in {"weight": self.weights, **self.columns}.items():
            found |= {f"{column}_{name}": value for name, value in zip(tasks, values.tolist(), strict=True)}
        return found if self.gramian is None else found | gramian_columns(tasks, self.gramian) | found


def gramian_columns(tasks: Sequence[str], gramian: torch.Tensor) -> dict[str, float]:
    """Return norms, cosines, the share of conflicting pairs, and the condition number.

    A gradient is unknown if its task has no label, or if the square of its norm is too small a number; its row and
    column of the Gramian are then zero, or rounding.

    Parameters
    ----------
    tasks : sequence of str
    gramian : Tensor of shape (T, T)

    Returns
    -------
    dict of str to float
        ``norm_<task>``; ``cosine_<a>_<b>`` for at most ``MOST_TASKS`` tasks, NaN if a gradient is unknown;
        ``conflicts``, the share of pairs with a negative cosine; ``condition``, the ratio of the largest and smallest
        eigenvalues for the known gradients, infinite if one is zero, and NaN for one gradient of several tasks.
    """
    values = gramian.detach().double().cpu()
    known = values.diagonal() >= torch.finfo(gramian.dtype).tiny
    norms = values.diagonal().clamp(min=0).sqrt()
    cosines = (values / (norms[:, None] * norms[None, :])).where(known[:, None] & known[None, :], math.nan)
    columns = {f"norm_{name}": norm for name, norm in zip(tasks, norms.tolist(), strict=True)}
    first, second = torch.triu_indices(len(tasks), len(tasks), 1)
    pairs = cosines[first, second]
    if len(tasks) <= MOST_TASKS:
        ends = zip(first.tolist(), second.tolist(), pairs.tolist(), strict=True)
        columns |= {f"cosine_{tasks[a]}_{tasks[b]}": cosine for a, b, cosine in ends}
    pairs = pairs[~pairs.isnan()]
    columns["conflicts"] = float((pairs < 0).double().mean()) if len(pairs) else math.nan
    enough = int(known.sum()) >= min(2, len(tasks))
    columns["condition"] = _condition(values[known][:, known]) if enough else math.nan
    return columns


def _condition(gramian: torch.Tensor) -> float:
    """Return the largest eigenvalue over the smallest; below rounding the smallest counts as zero."""
    eigenvalues = torch.linalg.eigvalsh(gramian)
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    return largest / smallest if smallest > largest * torch.finfo(torch.float32).eps else math.inf


class HeadProbe:
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
        found = [p.grad for p in self._each if p is not None and p.grad is not None]
        if len(found) < len(self._each):
            return None
        return torch.cat([own if own.dim() == 1 else own.flatten() for own in found])

    def by_task(self, found: torch.Tensor) -> torch.Tensor:
        """Return, in the last dimension, a number per task that is finite where all of its numbers are."""
        return torch.stack([own.sum(-1) for own in torch.split_with_sizes(found, self._sizes, -1)], -1)
