"""From the outputs of members to what ``predict`` says of a task, in torch as its kind does with NumPy; for graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import logsigmoid

from mtl_cli.config.errors import UserError
from mtl_cli.inference.export.curves import survival_answer
from mtl_cli.inference.export.ramps import Ramps, exact
from mtl_cli.tasks.answer_columns import DEVIATION, HIGH, LOW, QUANTILE, SET
from mtl_cli.tasks.conformal import Conformal
from mtl_cli.tasks.counts import LEAST_LOG_DISPERSION, MOST_LOG, MOST_LOG_DISPERSION
from mtl_cli.tasks.cumulative import thresholds
from mtl_cli.tasks.kinds.censored import ENDS, Z90, CensoredTask
from mtl_cli.tasks.kinds.count import CountTask
from mtl_cli.tasks.kinds.ordinal import OrdinalTask
from mtl_cli.tasks.kinds.regression import MAX_LOG, RegressionTask
from mtl_cli.tasks.kinds.survival import SurvivalTask
from mtl_cli.tasks.quantiles import column_suffix, median_weights
from mtl_cli.tasks.recalibration import Isotonic, Temperature
from mtl_cli.tasks.task import Task

Outputs = Sequence[torch.Tensor]
"""Those of each member, (n, outputs)."""


@dataclass(frozen=True)
class GraphAnswer:
    """What a graph says of one task.

    Parameters
    ----------
    about : dict of str to str
        By what a column of predictions has behind its task's name (`_low`, `` for the prediction itself), what it is.
    make : callable
        Returns these, in order, from the members' outputs.
    """

    about: dict[str, str]
    make: Callable[[Outputs], list[torch.Tensor]]


def graph_answer(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return what a graph says of a task.

    Parameters
    ----------
    task : Task
    fitted : sequence of Task
        The same, as fitted to the rows of each member.

    Raises
    ------
    UserError
        If it is of a kind that no graph can have.
    """
    if task.kind not in KINDS:
        what, hint = f"a task of kind {task.kind} is not exported", "--format safetensors has all weights"
        raise UserError(f"tasks.{task.name}", what, hint)
    return KINDS[task.kind](task, fitted)


def _number(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the number of a regression, its quantiles in order, and the ends of an interval."""
    assert isinstance(task, RegressionTask)
    own = [each for each in fitted if isinstance(each, RegressionTask)]
    quantiles, conformal, logs = task.quantiles, task.post_hoc.conformal, task.transform == "log1p"
    weights = exact(median_weights(quantiles))
    about = {"": "the predicted number", **{QUANTILE.end(column_suffix(q)): f"the quantile {q:g}" for q in quantiles}}

    def make(outputs: Outputs) -> list[torch.Tensor]:
        values = _stacked([_in_units(o.double(), each) for o, each in zip(outputs, own, strict=True)])
        mean = _to_user(values, logs).mean(0).log1p() if logs and len(own) > 1 else values.mean(0)
        mean = mean.sort(1).values if quantiles else mean
        found = [_to_user(mean @ weights if quantiles else mean[:, 0], logs)]
        found += [_to_user(mean[:, place], logs) for place in range(len(quantiles))]
        if conformal is not None:
            least, most = mean.amin(1), mean.amax(1)
            radius = torch.maximum((least - most) / 2, exact(conformal.radius * task.scale))
            found += [_to_user(least - radius, logs), _to_user(most + radius, logs)]
        return found

    return GraphAnswer(about | _about_ends(conformal), make)


def _count(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the mean of a count, the deviation of a single one, and the ends of an interval."""
    assert isinstance(task, CountTask)
    own, conformal = [each for each in fitted if isinstance(each, CountTask)], task.post_hoc.conformal
    about = {"": "the mean count", DEVIATION.end(): "the deviation of a single count"}

    def make(outputs: Outputs) -> list[torch.Tensor]:
        pairs = list(zip(outputs, own, strict=True))
        mean = _stacked(
            [(o[:, 0].double() + exact(each.offsets[0])).clamp(max=MOST_LOG).exp() for o, each in pairs]
        ).mean(0)
        variance = mean
        if task.loss_name != "poisson":
            log_alpha = _stacked([o[:, 1].double() + exact(each.offsets[1]) for o, each in pairs]).mean(0)
            variance = mean + log_alpha.clamp(LEAST_LOG_DISPERSION, MOST_LOG_DISPERSION).exp() * mean.square()
        found = [mean, variance.sqrt()]
        if conformal is not None:
            root = mean.sqrt()
            low = ((root - exact(conformal.radius)).clamp(min=0).square() - 1e-9).ceil()
            found += [low, ((root + exact(conformal.radius)).square() + 1e-9).floor()]
        return found

    return GraphAnswer(about | _about_ends(conformal), make)


def _censored(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the middle of each row's normal distribution, and the quantiles between which 90 % of it lies."""
    assert isinstance(task, CensoredTask)
    own, logs = [each for each in fitted if isinstance(each, CensoredTask)], task.transform == "log1p"
    quantiles = {QUANTILE.end(q): f"the quantile 0.{q[1:]}" for q in ENDS}
    about = {"": "the middle of what is likely", **quantiles}

    def make(outputs: Outputs) -> list[torch.Tensor]:
        pairs = [(each.distribution(o), each) for o, each in zip(outputs, own, strict=True)]
        means = _stacked([_in_units(mean.double(), each) for (mean, _), each in pairs])
        spreads = _stacked([spread.double() * exact(each.scale) for (_, spread), each in pairs])
        variance = (spreads.square() + means.square()).mean(0) - means.mean(0).square()
        spread = spreads[0] if len(own) == 1 else variance.clamp(min=0).sqrt()
        middle = _to_user(means, logs).mean(0).log1p() if logs and len(own) > 1 else means.mean(0)
        return [
            _to_user(values, logs) for values in (middle, middle - exact(Z90) * spread, middle + exact(Z90) * spread)
        ]

    return GraphAnswer(about, make)


def _ordinal(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the probability of each class in order."""
    assert isinstance(task, OrdinalTask)
    own = [each for each in fitted if isinstance(each, OrdinalTask)]

    def make(outputs: Outputs) -> list[torch.Tensor]:
        each = []
        for output, member in zip(outputs, own, strict=True):
            below = thresholds(output + torch.tensor(member.offsets)).double().sigmoid()
            ends = torch.cat([below[:, :1] * 0, below, below[:, :1] * 0 + 1], 1)
            each.append(ends[:, 1:] - ends[:, :-1])
        probability = _stacked(each).mean(0)
        return [probability, *_sets(task, probability)]

    return GraphAnswer({"": "the probability of each class in order", **_about_sets(task)}, make)


def _binary(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the probability of the positive label."""
    labels = _by_label(task)

    def make(outputs: Outputs) -> list[torch.Tensor]:
        positive = labels(outputs)[:, 0]
        return [positive, *_sets(task, torch.stack([1 - positive, positive], 1))]

    return GraphAnswer({"": "the probability of the last class", **_about_sets(task)}, make)


def _multilabel(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the probability of each label."""
    labels = _by_label(task)
    return GraphAnswer({"": "the probability of each label"}, lambda outputs: [labels(outputs)])


def _by_label(task: Task) -> Callable[[Outputs], torch.Tensor]:
    """Return what makes the mean σ(o) of the members, calibrated, (n, outputs)."""
    step = task.post_hoc.recalibration
    corrected = _isotonic(step) if isinstance(step, Isotonic) else None

    def make(outputs: Outputs) -> torch.Tensor:
        logits = _stacked([output.double() for output in outputs])
        if isinstance(step, Temperature):
            both = [logsigmoid(sign * logits).logsumexp(0) for sign in (1, -1)]
            return ((both[0] - both[1]) / exact(step.temperature)).sigmoid()
        mean = logits.sigmoid().mean(0)
        return mean if corrected is None else corrected(mean)

    return make


def _multiclass(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the probability of each class."""
    step = task.post_hoc.recalibration
    corrected = _isotonic(step) if isinstance(step, Isotonic) else None

    def make(outputs: Outputs) -> list[torch.Tensor]:
        logs = _stacked([output.double().log_softmax(1) for output in outputs])
        if isinstance(step, Temperature):
            mean = (logs.logsumexp(0) / exact(step.temperature)).softmax(1)
        else:
            mean = logs.exp().mean(0)
        if corrected is not None:
            mean = corrected(mean)
            mean = mean / mean.sum(1, keepdim=True)
        return [mean, *_sets(task, mean)]

    return GraphAnswer({"": "the probability of each class", **_about_sets(task)}, make)


def _residue(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the probability of each class at each residue; beyond a row's end it says nothing."""
    return GraphAnswer(
        {"": "the probability of each class, by residue"},
        lambda outputs: [_stacked([output.double().softmax(-1) for output in outputs]).mean(0)],
    )


def _survival(task: Task, fitted: Sequence[Task]) -> GraphAnswer:
    """Return the mean time until the event, and the share left without it at some times."""
    assert isinstance(task, SurvivalTask)
    return GraphAnswer(*survival_answer(task, [each for each in fitted if isinstance(each, SurvivalTask)]))


KINDS: dict[str, Callable[[Task, Sequence[Task]], GraphAnswer]] = {
    "regression": _number, "quantile": _number, "interval": _number, "count": _count, "censored": _censored,
    "ordinal": _ordinal, "binary": _binary, "multilabel": _multilabel, "multiclass": _multiclass,
    "residue": _residue, "survival": _survival,
}  # fmt: skip


def left_out(task: Task) -> list[str]:
    """Return what ``predict`` does with a task's outputs that a graph leaves to its user."""
    if task.post_hoc.thresholds is None:
        return []
    return [f"the threshold of task {task.name}, which is in its metadata"]


def described(task: Task) -> dict[str, Any]:
    """Return what the metadata say of a task."""
    state = task.state()
    labels = state.get("classes") or state.get("labels")
    found = {"name": task.name, "kind": task.kind, "labels": labels}
    return found if task.post_hoc.thresholds is None else found | {"thresholds": task.post_hoc.thresholds}


def _stacked(each: Sequence[torch.Tensor]) -> torch.Tensor:
    return torch.stack(list(each))


def _in_units(output: torch.Tensor, task: RegressionTask | CensoredTask) -> torch.Tensor:
    return output * exact(task.scale) + exact(task.center)


def _about_ends(conformal: Conformal | None) -> dict[str, str]:
    if conformal is None:
        return {}
    return {kind.end(): f"of an interval that holds {conformal.coverage:g} of labels" for kind in (LOW, HIGH)}


def _to_user(values: torch.Tensor, logs: bool) -> torch.Tensor:
    """Return values in the label's own units, given those in its units or, with ``logs``, their log1p."""
    return values.clamp(max=MAX_LOG).expm1() if logs else values


def _isotonic(step: Isotonic) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return what takes each probability through its own function."""
    each = [Ramps.through(*corners) for corners in zip(step.stated, step.observed, strict=True)]
    return lambda found: torch.stack([ramps(found[:, place]) for place, ramps in enumerate(each)], 1)


def _about_sets(task: Task) -> dict[str, str]:
    conformal = task.post_hoc.conformal
    if conformal is None:
        return {}
    return {SET.end(): f"1 for each class of a set that holds {conformal.coverage:g} of labels"}


def _sets(task: Task, probability: torch.Tensor) -> list[torch.Tensor]:
    """Return which classes are in each row's set, as numbers, if sets were asked for."""
    conformal = task.post_hoc.conformal
    return [] if conformal is None else [(1 - probability <= exact(conformal.radius)).double()]
