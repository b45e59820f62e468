"""What a training step leaves beside the gradients: its result, a row of the weights file, and what was not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import torch

from mtl_cli.balancing.base import Balancer
from mtl_cli.balancing.model import SharedModel
from mtl_cli.config.errors import UserError

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
        found = [p.grad.flatten() for p in self._each if p is not None and p.grad is not None]
        return torch.cat(found) if len(found) == len(self._each) else None

    def by_task(self, found: torch.Tensor) -> torch.Tensor:
        """Return, in the last dimension, a number per task that is finite where all of its numbers are."""
        return torch.stack([own.sum(-1) for own in torch.split_with_sizes(found, self._sizes, -1)], -1)


class Record(NamedTuple):
    """What several steps left, each of shape (steps, T): see ``StepResult``."""

    losses: torch.Tensor
    counts: torch.Tensor
    weights: torch.Tensor
    sizes: torch.Tensor

    def check(
        self, tasks: Sequence[str], balancer: Balancer, task_weights: torch.Tensor, epoch: int, first: int
    ) -> None:
        """Raise UserError that names the first step, and there the first task, with a wrong loss or gradient.

        Parameters
        ----------
        tasks : sequence of str
        balancer : Balancer
            Which may need positive or nonnegative losses.
        task_weights : Tensor of shape (T,)
            What it sees the losses multiplied by.
        epoch : int
        first : int
            Steps before these.
        """
        not_finite, no_gradient = ~self.losses.isfinite(), ~self.sizes.isfinite()
        too_small = self._too_small(balancer, task_weights, no_gradient)
        wrong = not_finite | no_gradient | too_small
        if not wrong.any():
            return
        step = int(wrong.any(1).nonzero()[0])
        task = int(wrong[step].nonzero()[0])
        where, at = f"tasks.{tasks[task]}", f"in epoch {epoch}, step {first + step + 1}"
        if len(tasks) > 1 and bool(self.losses[step].isnan().all()):
            what = f"all losses are nan {at}: the step before left weights that are not finite, or too large"
            raise not_finite_error("tasks", what)
        if too_small[step, task]:
            least = float((self.losses * task_weights)[too_small].min())
            raise UserError(
                where,
                f"the loss is {least:.4g} {at}; this balancer needs {balancer.needs_losses} losses",
                f"add to every loss what keeps it positive, such as balancer.shift={1 - math.floor(min(least, 0.0))}",
            )
        known = balancer.needs == "losses" or bool(self.sizes[step].isfinite().all())
        if known and bool(self.losses[step].isfinite().all()) and not bool(self.weights[step].isfinite().all()):
            bad = int((~self.weights[step].isfinite()).nonzero()[0])
            what = f"the weight of {tasks[bad]} is {float(self.weights[step, bad])} {at}"
            raise UserError("balancer", what, "milder keys of the balancer, such as a lower balancer.lr, may help")
        loss = float(self.losses[step, task])
        what = f"the loss is {loss}" if not_finite[step, task] else "the gradient is not finite"
        if first == 0 and (step == 0 or abs(float(self.losses[0, task])) > LARGE):
            hint = "labels so large want another unit, or to be standardised, as they are by default"
            raise UserError(where, f"{what} {at}, with a loss of {float(self.losses[0, task]):.4g} to begin with", hint)
        raise not_finite_error(where, f"{what} {at}")

    def _too_small(self, balancer: Balancer, task_weights: torch.Tensor, no_gradient: torch.Tensor) -> torch.Tensor:
        """Return which losses are too small for the balancer: those of ``check``'s arguments."""
        if balancer.needs_losses == "any":
            return torch.zeros_like(no_gradient)
        shifted = self.losses * task_weights + balancer.shift
        if balancer.needs_losses == "positive":  # where the gradient is divided by a tiny loss, that is the cause
            found = (shifted <= 0) | (no_gradient.any(1, keepdim=True) & (shifted < TINY))
        else:
            found = shifted < 0
        return found & (self.counts > 0) & (task_weights > 0)


TINY = 1e-6
LARGE = 1e12
"""A loss below which its gradient may overflow once divided by it; one that no network begins with by its own doing."""


def not_finite_error(where: str, what: str) -> UserError:
    """Return the error of a run that diverged."""
    return UserError(where, what, "a lower optimizer.lr, or trainer.clip_norm=1, may help")
