"""The shared prior at work: its pull on the tasks' weights, and what is learnt of it once an epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.models.evidence import Curvature, curvature, posterior
from mtl_cli.models.regularizer import Regularizer, Training
from mtl_cli.models.task_weights import task_weights
from mtl_cli.runs.forms import Form

SMALLEST_VARIANCE = 1e-8


def build_prior(training: Training, tasks: Sequence[str], diagonal: bool, every: int) -> SharedPrior:
    """Return the prior of these tasks. Raises UserError if their weights are not all of one shape."""
    for task in tasks:
        if training.tasks[task].couples:
            what = f"needs a loss of each row by itself, and that of {task} is of several rows together"
            raise UserError("regularizer.tasks", what, "name the other tasks, such as regularizer.tasks=[a,b]")
    weights = task_weights(training.network.heads, tasks)
    (first, shape), *others = ((task, tuple(weight.shape)) for task, weight in weights.items())
    wrong = [f"{task}'s {own[0]} × {own[1]}" for task, own in others if own != shape]
    if wrong:
        what = f"the last layer of {first}'s head has {shape[0]} × {shape[1]} weights, {', '.join(wrong)}"
        raise UserError("regularizer.tasks", what, "name tasks with as many outputs, such as regularizer.tasks=[a,b]")
    return SharedPrior(training, weights, diagonal, every)


@dataclass
class TaskState:
    """What the prior knows of a task.

    Parameters
    ----------
    rows : float
        Its labelled rows n_t, each by its weight.
    weight : float
        The task's own.
    gaussian : bool
        Whether its loss is a squared error.
    noise : float
        s_t², for squared error.
    """

    rows: float
    weight: float
    gaussian: bool
    noise: float = 1.0

    @property
    def beta(self) -> float:
        """β_t: what the loss is multiplied by to be −log p, up to a constant."""
        return 0.5 / self.noise if self.gaussian else 1.0


class SharedPrior(Regularizer):
    """See ``regularizers/prior.py`` for what it does.

    Attributes
    ----------
    mean, variance : Tensor of shape (outputs, units)
        μ and diag Σ.
    states : dict of str to TaskState
    """

    def __init__(self, training: Training, weights: dict[str, nn.Parameter], diagonal: bool, every: int) -> None:
        self._training, self._by_task, self._diagonal, self._every = training, weights, diagonal, every
        self.mean = torch.zeros_like(next(iter(weights.values())).detach())
        self.variance = torch.ones_like(self.mean)
        masks, rows = training.batches.masks, training.batches.rows
        self.states = {
            name: TaskState(
                float(rows if (mask := masks[name]) is None else mask.sum()),
                training.tasks[name].weight,
                training.tasks[name].squared_error,
            )
            for name in weights
        }
        device = self.mean.device
        names = list(training.tasks)
        self._numbers = torch.tensor([names.index(name) for name in weights], device=device)
        self._factors = self._term_factors()
        self._epochs, self._evidence = 0, math.nan

    def weights(self) -> list[nn.Parameter]:
        return list(self._by_task.values())

    def penalty(self, present: torch.Tensor | None = None) -> torch.Tensor:
        stacked = torch.stack([*self._by_task.values()])
        terms = ((stacked - self.mean).square() / self.variance).sum((1, 2))
        factors = self._factors if present is None else self._factors * present[self._numbers]
        return (factors * terms).sum()

    def end_epoch(self) -> dict[str, float]:
        if self._epochs % self._every == 0:
            self._learn()
        self._epochs += 1
        return {"evidence_prior": self._evidence, "scale_prior": float(self.variance.mean().sqrt())}

    def state_dict(self) -> dict[str, Any]:
        """Return the prior as it was learnt last."""
        noise = {name: state.noise for name, state in self.states.items()}
        learnt = {"mean": self.mean, "variance": self.variance, "noise": noise}
        return {**learnt, "epochs": self._epochs, "evidence": self._evidence}

    def form(self) -> Form:
        """Return what any such state is like."""
        return self.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.mean.copy_(saved["mean"])
        self.variance.copy_(saved["variance"])
        for name, state in self.states.items():
            state.noise = float(saved["noise"][name])
        self._epochs, self._evidence = int(saved["epochs"]), float(saved["evidence"])
        self._factors = self._term_factors()

    def _term_factors(self) -> torch.Tensor:
        """Return what each task's squared distance from μ is multiplied by, shape (tasks here,)."""
        found = [0.5 * s.weight / (s.beta * s.rows) if s.rows else 0.0 for s in self.states.values()]
        return torch.tensor(found, device=self.mean.device, dtype=self.mean.dtype)

    def _learn(self) -> None:
        """Report the evidence of μ, Σ and s_t² as they are, then take one step of EM."""
        curvatures = curvature(self._training, list(self._by_task))
        variance = self.variance.double().cpu()
        means = {name: weight.detach().double().cpu() for name, weight in self._by_task.items()}
        prior_mean, spread, evidence = self.mean.double().cpu(), [], 0.0
        for name, state in self.states.items():
            found = curvatures[name]
            covariance, log_det = posterior(found.hessian * state.beta, variance)
            distance = (means[name] - prior_mean).square()
            evidence += _log_likelihood(state, found) - 0.5 * float((distance / variance).sum()) - 0.5 * log_det
            spread.append(covariance.diagonal(dim1=1, dim2=2))
            if state.gaussian and state.rows:
                uncertainty = (covariance * found.hessian).sum() / 2  # a squared error's second derivative is 2
                state.noise = max((found.loss + float(uncertainty)) / state.rows, SMALLEST_VARIANCE)
        self._evidence = evidence
        stacked = torch.stack([*means.values()])
        mean = stacked.mean(0)
        found_variance = ((stacked - mean).square() + torch.stack(spread)).mean(0)
        if not self._diagonal:
            found_variance = found_variance.mean().expand_as(found_variance)
        self.mean.copy_(mean)
        self.variance.copy_(found_variance.clamp(min=SMALLEST_VARIANCE))
        self._factors = self._term_factors()


def _log_likelihood(state: TaskState, found: Curvature) -> float:
    """Return log p(y_t | W_t)."""
    constant = 0.5 * state.rows * math.log(2 * math.pi * state.noise) if state.gaussian else 0.0
    return -state.beta * found.loss - constant
