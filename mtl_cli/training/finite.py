"""Whether losses, gradients and weights stayed finite, and what is said where they did not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch

from mtl_cli.balancing.base import Balancer
from mtl_cli.config.errors import UserError

TINY = 1e-6
LARGE = 1e12
"""A loss below which its gradient may overflow once divided by it; one that no network begins with by its own doing."""


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


def not_finite_error(where: str, what: str) -> UserError:
    """Return the error of a run that diverged."""
    return UserError(where, what, "a lower optimizer.lr, or trainer.clip_norm=1, may help")
