"""What the steps of an epoch leave: tensors that nothing waits for until the epoch ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from mtl_cli.balancing.result import StepResult
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.runs.forms import Either, Form, Many, Rows
from mtl_cli.training.finite import Record, not_finite_error

CHUNK = 256
"""Steps whose small tensors are kept apart before they are put into one."""


@dataclass(frozen=True)
class Summary:
    """An epoch in numbers.

    Parameters
    ----------
    losses : list of float
        By task, the mean over the rows with a label.
    total : float
        The mean over the steps of Σ_t w_t · weight_t · L_t, what the trunk was trained on, by their rows.
    balance : list of dict
        Rows of ``<balancer>_weights.csv``.
    """

    losses: list[float]
    total: float
    balance: list[dict[str, Any]]


class StepLog:
    """Keeps what an epoch's steps left.

    Parameters
    ----------
    step : TrainingStep
    epoch : int
    every : int or "epoch"
        Keep a row for the weights file of every so many steps, the run's first included, or of the epoch's last step.
    """

    def __init__(self, step: TrainingStep, epoch: int, every: int | Literal["epoch"]) -> None:
        self.step, self.epoch, self.every = step, epoch, every
        self.first = self._count = step.steps
        self._chunks: list[torch.Tensor] = []
        self._pending: list[StepResult] = []
        self._rows: list[dict[str, Any]] = []  # of steps before a checkpoint in the midst of the epoch
        self._logged: list[tuple[int, StepResult]] = []
        self._last: StepResult | None = None

    def append(self, result: StepResult) -> None:
        """Keep a step's result."""
        self._pending.append(result)
        self._last = result
        self._count += 1
        if self.every != "epoch" and not self.step.held and (self._count - 1) % self.every == 0:
            self._logged.append((self._count, result))
        if len(self._pending) == CHUNK:
            self._pack()

    def close(self) -> Summary:
        """Return the epoch's numbers; here the device is waited for.

        Raises
        ------
        UserError
            If a loss or a gradient was not finite, or a loss not positive for a balancer that needs it to be.
        """
        self._pack()
        if not self._chunks:  # float16 overflowed in every step
            unknown = [math.nan] * len(self.step.tasks)
            return Summary(unknown, math.nan, [])
        losses, counts, weights, _ = record = Record(*torch.cat(self._chunks).double().cpu().unbind(1))
        task_weights = self.step.task_weights.double().cpu()
        record.check(list(self.step.tasks), self.step.balancer, task_weights, self.epoch, self.first)
        self._keep_rows()
        labelled = counts.sum(0)
        means = (losses * counts).sum(0) / labelled.where(labelled > 0, 1.0)
        rows = counts.max(1).values
        total = ((weights * task_weights * losses).sum(1) * rows).sum() / rows.sum()
        return Summary(means.tolist(), float(total), self._rows)

    def state_dict(self) -> dict[str, Any]:
        """Return what is kept of the epoch's steps so far; here the device is waited for."""
        self._pack()
        self._keep_rows()
        chunks = torch.cat(self._chunks) if self._chunks else None
        return {"first": self.first, "count": self._count, "steps": chunks, "rows": list(self._rows)}

    @staticmethod
    def form(step: TrainingStep) -> Form:
        """Return what any such state is like."""
        steps = torch.zeros(len(Record._fields), len(step.tasks))
        row = {...: Either(Either(None, ""), 0.0)}
        return {"first": 0, "count": 0, "steps": Either(None, Rows(steps)), "rows": Many(row)}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.first, self._count, self._rows = saved["first"], saved["count"], list(saved["rows"])
        self._chunks = [] if saved["steps"] is None else [saved["steps"]]

    def _keep_rows(self) -> None:
        """Make rows for the weights file of the steps that are to have one."""
        if self.every == "epoch" and self._last is not None and not self.step.held:
            self._rows, self._logged = [], [(self._count, self._last)]
        self._rows += [self._row(*logged) for logged in self._logged]
        self._logged = []

    def _pack(self) -> None:
        """Put the pending steps into one tensor of shape (steps, 4, T)."""
        if not self._pending:
            return
        results, self._pending = self._pending, []
        losses = torch.stack([result.losses for result in results])
        weights = torch.stack([result.weights for result in results])
        numbers = [result.counts for result in results]
        if all(isinstance(number, int) for number in numbers):
            counts = torch.tensor(numbers).to(losses.device, non_blocking=True).unsqueeze(1).expand_as(losses)
        else:
            counts = torch.stack([torch.zeros_like(losses[0]) + number for number in numbers])
        sizes = self._sizes(results)
        self._chunks.append(torch.stack([losses, counts.to(losses.dtype), weights.to(losses.dtype), sizes], 1))

    def _row(self, number: int, result: StepResult) -> dict[str, Any]:
        row: dict[str, Any] = {"epoch": self.epoch, "step": number}
        if self.step.balancer.update_every > 1:
            row["seen_step"] = result.seen_step
        return row | result.row(list(self.step.tasks))

    def _sizes(self, results: list[StepResult]) -> torch.Tensor:
        """Return numbers, shape (steps, T), that are finite where the gradients are known to be, or are not known."""
        tasks, by_task = len(self.step.tasks), self.step.probe.by_task
        sizes = [torch.zeros_like(result.losses) if result.sizes is None else result.sizes for result in results]
        if len({len(each) for each in sizes}) > 1:  # the balancer saw gradients in some of the steps
            sizes = [each if len(each) == tasks else by_task(each) for each in sizes]
        stacked = torch.stack(sizes)
        return stacked if stacked.shape[1] == tasks else by_task(stacked)


def form_of_step(step: TrainingStep) -> Form:
    """Return what any state of a training step is like; see ``runs.forms``."""
    tasks, wide = len(step.tasks), sum(p.numel() for p in step.model.shared_parameters())
    state = step.balancer.init_state(list(step.tasks), step.device)
    weights, gramian = torch.ones(tasks), torch.zeros(tasks, tasks)
    return {
        **step.state_dict(),
        "state": {name: _widening(values, wide) for name, values in state.items()},
        "columns": {...: weights},
        "gramian": Either(None, gramian),
        "head_weights": Either(None, weights),
    }


def _widening(values: torch.Tensor, wide: int) -> Form:
    """Return the form of a part of a balancer's state, which may begin with one number in the gradients' place."""
    return Either(values, values.expand(-1, wide)) if values.ndim == 2 and values.shape[1] == 1 else values


def check_parameters(model: torch.nn.Module, step: TrainingStep, epoch: int) -> None:
    """Raise UserError if the epoch's last step made a parameter of the model not finite.

    The losses before it were finite, so it was this step's gradient: it names the task whose own head it spoiled.
    """
    sizes = torch._foreach_norm([p.detach() for p in model.parameters()])
    if bool(torch.stack([size.double() for size in sizes]).isfinite().all()):
        return
    heads = {name: step.model.head_parameters(name) for name in step.tasks}
    bad = [name for name, own in heads.items() if not all(bool(p.isfinite().all()) for p in own)]
    where = f"tasks.{bad[0]}" if 0 < len(bad) < len(heads) or len(heads) == 1 else "tasks"
    raise not_finite_error(where, f"the gradient is not finite in epoch {epoch}, step {step.steps}")
