"""Curves of survival in torch, as ``SurvivalTask`` makes them with NumPy; for graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from mtl_cli.inference.export.ramps import exact
from mtl_cli.tasks.answer_columns import RISK, SURVIVAL
from mtl_cli.tasks.kinds.survival import SurvivalTask
from mtl_cli.tasks.labels import text_of

LEAST_LOG = float(np.log(1e-300))

Made = tuple[dict[str, str], Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]]


def survival_answer(task: SurvivalTask, fitted: Sequence[SurvivalTask]) -> Made:
    """Return what a graph says of a survival task, and what makes it of the members' outputs."""
    at = {SURVIVAL.end(text_of(time)): f"the share left without the event at {text_of(time)}" for time in task.times}
    about = {"": "the mean time until the event, up to the last interval"}
    if not task.couples:
        return about | at, _discrete(task, fitted)
    risk = {RISK.end(): "the logarithm of the relative hazard"}
    if task.post_hoc.hazard is None:
        return risk, lambda outputs: [_mean(outputs)]
    return about | risk | at, _cox(task)


def _discrete(
    task: SurvivalTask, fitted: Sequence[SurvivalTask]
) -> Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]:
    ends = np.array(task.cuts) * task.unit
    to_ends = [_between(np.array(own.cuts) * own.unit, ends) for own in fitted]
    to_times, areas = _between(ends, np.array(task.times)), _areas(ends)

    def make(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        curves = []
        for output, own, weights in zip(outputs, fitted, to_ends, strict=True):
            logits = output.double() + exact(own.offsets)
            curves.append((-_softplus(logits).cumsum(1) @ weights).exp())
        curve = torch.stack(curves).mean(0)
        logs = torch.maximum(curve.log(), exact(LEAST_LOG))
        return [_mean_time(curve, areas), *(logs @ to_times).exp().unbind(1)]

    return make


def _cox(task: SurvivalTask) -> Callable[[Sequence[torch.Tensor]], list[torch.Tensor]]:
    hazard = task.post_hoc.hazard
    assert hazard is not None
    ends = np.array(task.cuts) * task.unit
    at_ends, at_times = (torch.from_numpy(hazard(times)) for times in (ends, np.array(task.times)))
    areas = _areas(ends)

    def make(outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        risk = _mean(outputs)
        relative = risk.clamp(max=50).exp().unsqueeze(1)
        return [_mean_time((-at_ends * relative).exp(), areas), risk, *(-at_times * relative).exp().unbind(1)]

    return make


def _softplus(values: torch.Tensor) -> torch.Tensor:
    """Return log(1 + e^x); onnxruntime has its own in 32 bits alone."""
    return values.clamp(min=0) + (-values.abs()).exp().log1p()


def _mean(outputs: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack([output[:, 0].double() for output in outputs]).mean(0)


def _between(ends: np.ndarray, times: np.ndarray) -> torch.Tensor:
    """Return what to multiply logarithms at ``ends`` by to have them at ``times``, linear between, 0 at the start."""
    ends = np.concatenate([[0.0], ends])
    at = np.clip(times, 0, ends[-1])
    right = np.searchsorted(ends, at).clip(1)
    share = (at - ends[right - 1]) / (ends[right] - ends[right - 1])
    weights = np.zeros((len(ends), len(times)))
    weights[right - 1, np.arange(len(times))] = 1 - share
    weights[right, np.arange(len(times))] += share
    return torch.from_numpy(weights[1:].copy())


def _areas(ends: np.ndarray) -> torch.Tensor:
    """Return the widths of the intervals."""
    return torch.from_numpy(np.diff(np.concatenate([[0.0], ends])))


def _mean_time(curve: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Return the area below a curve that begins at 1, by trapezoids."""
    before = torch.cat([curve[:, :1] * 0 + 1, curve[:, :-1]], 1)
    return (before + curve) / 2 @ widths
