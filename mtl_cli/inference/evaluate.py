"""What a model is worth on some rows: losses, skill, score and metrics. The one place where the score is defined."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.base import Part
from mtl_cli.data.batches import Batches
from mtl_cli.data.inputs import InputRows, Inputs
from mtl_cli.models.linear import LinearModels, mean_shares
from mtl_cli.models.network import Network
from mtl_cli.tasks.task import Decided, Target, Task

LOWER_IS_BETTER = frozenset(
    {"loss", "rmse", "mse", "mae", "log_loss", "ece", "pinball", "exact_rmse", "brier", "deviance", "interval_score"}
)
"""The metrics of which less is better; of others, and of plugins', more is."""
NO_METRICS = ("rows", "not_finite", "constant", "classes", "weighted", "unknown")
"""What ``evaluate`` says of a task beside numbers that are the better, or worse, the larger they are."""
CHUNK = 16_384
"""Rows whose losses are computed at once."""
BLOCK = 16
"""Rows of features are filled up to a multiple of so many: kernels of matrix products sum the rest in another order, so
that a row's last digits would depend on how many others are beside it.
"""
PIXELS = 2**17
"""Of images that go through the layers at once on a CPU. What convolutions make of more does not stay in its caches:
images of 36 × 36 take twice as long if 1,024 are taken at once as if 100 are.
"""
SHARES = tuple(number / 10 for number in range(11))
"""Of linear models in a network's outputs: those that are tried."""


def skill(loss: float, baseline: float) -> float:
    """Return 1 − loss / baseline loss: R² for squared error, McFadden's pseudo-R² for likelihoods.

    Parameters
    ----------
    loss : float
        The model's mean loss over some rows.
    baseline : float
        That of the best constant predictor of the training rows, over the same rows.
    """
    return 1 - loss / baseline if baseline > 0 else math.nan


def score(skills: Mapping[str, float], tasks: Mapping[str, Task]) -> float:
    """Return the mean skill over the tasks that are not auxiliary; over all if all are."""
    main = [name for name, task in tasks.items() if not task.auxiliary] or list(tasks)
    known = [skills[name] for name in main if not math.isnan(skills.get(name, math.nan))]
    return sum(known) / len(known) if known else math.nan


@torch.no_grad()
def outputs(model: Network | LinearModels, inputs: InputRows) -> dict[str, torch.Tensor]:
    """Return each task's outputs, in evaluation mode, a chunk of rows at a time.

    Those for tokens have the shape (n, longest row, outputs), and are NaN beyond a row's end.
    """
    was_training = model.training
    model.eval()
    chunks = inputs.chunks()
    if inputs.lengths is None and all(isinstance(rows, slice) for rows in chunks):
        whole: dict[str, torch.Tensor] = {}  # each chunk into its place: together they may be large
        for rows in chunks:
            for name, output in _outputs_alike(model, inputs.take(rows)).items():
                if name not in whole:
                    whole[name] = output if len(chunks) == 1 else output.new_empty((len(inputs), *output.shape[1:]))
                if len(chunks) > 1:
                    whole[name][rows] = output
        model.train(was_training)
        return whole
    found = [model(inputs.take(rows)) for rows in chunks]
    model.train(was_training)
    return {name: _join([chunk[name] for chunk in found], chunks, inputs) for name in found[0]}


def _outputs_alike(model: Network | LinearModels, inputs: Inputs) -> dict[str, torch.Tensor]:
    """Return a model's outputs on a chunk: of images a few at a time; of rows of features the same whichever others it
    holds (on one thread).
    """
    if isinstance(inputs, torch.Tensor) and inputs.dim() == 4 and inputs.device.type == "cpu":
        some = max(1, PIXELS // max(1, inputs[:1].numel()))
        pieces = [model(images) for images in torch.split(inputs, some)]
        return pieces[0] if len(pieces) == 1 else {name: torch.cat([own[name] for own in pieces]) for name in pieces[0]}
    if not isinstance(inputs, torch.Tensor) or inputs.dim() != 2 or not inputs.is_floating_point():
        whole: dict[str, torch.Tensor] = model(inputs)
        return whole
    rows = len(inputs)
    filled = torch.nn.functional.pad(inputs, (0, 0, 0, -rows % BLOCK)) if rows % BLOCK else inputs
    return {name: output[:rows] for name, output in model(filled).items()}


def _join(outputs: list[torch.Tensor], chunks: Sequence[torch.Tensor | slice], inputs: InputRows) -> torch.Tensor:
    """Put the outputs of chunks of rows in the rows' order."""
    if isinstance(chunks[0], slice):
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    first = outputs[0]
    if first.dim() == 2:
        joined = first.new_empty((len(inputs), first.shape[-1]))
    else:
        joined = first.new_full((len(inputs), max(output.shape[1] for output in outputs), first.shape[-1]), math.nan)
    for rows, output in zip(chunks, outputs, strict=True):
        if output.dim() == 3:
            assert inputs.lengths is not None
            lengths = torch.from_numpy(inputs.lengths)[rows].to(output.device)
            beyond = torch.arange(output.shape[1], device=output.device) >= lengths.unsqueeze(1)
            joined[rows, : output.shape[1]] = output.masked_fill(beyond.unsqueeze(2), math.nan)
        else:
            joined[rows] = output
    return joined


class Validation:
    """Scores a model on one part during training, with one wait for the device.

    Parameters
    ----------
    batches : Batches
        The whole part.
    tasks : dict of str to Task
    monitor : str, default "score"
        What early stopping goes by: the score, ``TASK`` for a task's skill, or ``TASK.METRIC``.
    every : bool, default False
        Name tasks without a label too, with NaN: folds differ in their labels, and share a history.

    Raises
    ------
    UserError
        If the task has no such metric, or no label here.
    """

    def __init__(self, batches: Batches, tasks: dict[str, Task], monitor: str = "score", every: bool = False) -> None:
        self.inputs, self.targets, self.masks = batches.inputs, batches.targets, batches.masks
        self.rows = {name: None if mask is None else mask.nonzero()[:, 0] for name, mask in self.masks.items()}
        labelled = [name for name, rows in self.rows.items() if rows is None or len(rows)]
        self.tasks = {name: task for name, task in tasks.items() if name in labelled}
        self.all_tasks, self.named = tasks, tasks if every else self.tasks
        self._linear: dict[str, torch.Tensor] | None = None
        constant = {name: _constant(task, self.targets[name]) for name, task in tasks.items()}
        self.baselines = dict(zip(self.tasks, self._measure(constant)[0].tolist(), strict=True))
        self.monitor = None if monitor == "score" else monitor.partition(".")
        if self.monitor is not None and self.tasks:
            self._check_monitor(constant)

    def _labelled(self, name: str, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Return the outputs of the rows that have a label, these labels, and how much each counts."""
        target, rows, mask = self.targets[name], self.rows[name], self.masks[name]
        return (output, target, None) if rows is None or mask is None else (output[rows], target[rows], mask[rows])

    def _measure(self, found: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        losses, metrics = [], []
        for name, task in self.tasks.items():
            output, target, counts = self._labelled(name, found[name])
            losses.append(_mean(*task.batch_loss(output, target, counts)))
            metrics.append(task.monitor(output, target))
        return (torch.stack(losses), torch.stack(metrics)) if losses else (torch.empty(0), torch.empty(0))

    def loss(self, name: str, output: torch.Tensor) -> torch.Tensor:
        """Return the mean loss of a task, a scalar, given its outputs for all rows, (n, outputs)."""
        return _mean(*self.tasks[name].batch_loss(*self._labelled(name, output)))

    def __call__(self, model: Network) -> dict[str, float]:
        """Return ``val_loss_<task>``, ``val_<metric>_<task>``, NaN for a task without a label, and ``val_score``.

        Where linear models are beside the network, their shares are set to those of the least loss first, and are
        returned too, as ``linear_<task>``.
        """
        found = outputs(model, self.inputs) if model.linear is None else self._with_shares(model, model.linear)
        losses, metrics = torch.stack(self._measure(found)).tolist()
        loss_of, metric_of = dict(zip(self.tasks, losses, strict=True)), dict(zip(self.tasks, metrics, strict=True))
        row = {f"val_loss_{name}": loss_of.get(name, math.nan) for name in self.named}
        row |= {f"val_{task.primary}_{name}": metric_of.get(name, math.nan) for name, task in self.named.items()}
        if model.linear is not None:
            row |= {f"linear_{name}": round(share, 6) for name, share in mean_shares([model.linear]).items()}
        skills = {name: skill(loss, self.baselines[name]) for name, loss in loss_of.items()}
        row["val_score"] = score(skills, self.all_tasks)
        if self.monitor is not None:
            row["val_monitor"] = self._monitored(found, skills) if self.tasks else math.nan
        return row

    def _with_shares(self, model: Network, linear: LinearModels) -> dict[str, torch.Tensor]:
        """Set the shares of the linear models to those that fit the network as it is best, and return the outputs."""
        if self._linear is None:
            fitted = [name for name, at in zip(linear.tasks, linear.penalties.tolist(), strict=True) if at > 0]
            self._linear = {name: output for name, output in outputs(linear, self.inputs).items() if name in fitted}
        model.linear = None  # while the network is asked what it says alone
        try:
            found = outputs(model, self.inputs)
        finally:
            model.linear = linear
        for place, name in enumerate(linear.tasks):
            if name in self._linear:
                own = [torch.lerp(found[name], self._linear[name], share) for share in SHARES]
                best = torch.stack([self.loss(name, output) for output in own]).argmin()
                linear.shares[place] = torch.tensor(SHARES, device=best.device)[best]
                found[name] = torch.lerp(found[name], self._linear[name], linear.shares[place])
        return found

    def _monitored(self, found: Mapping[str, torch.Tensor], skills: Mapping[str, float]) -> float:
        """Return what early stopping goes by, with its sign turned where less is better."""
        assert self.monitor is not None
        name, _, metric = self.monitor
        if not metric:
            return skills[name]
        value = self._all_metrics(name, found)[metric]
        return -value if metric in LOWER_IS_BETTER else value

    def _all_metrics(self, name: str, found: Mapping[str, torch.Tensor]) -> dict[str, float]:
        rows, output, target = self.rows[name], found[name], self.targets[name]
        if rows is not None:
            output, target = output[rows], target[rows]
        return self.all_tasks[name].all_metrics(output.cpu().numpy(), target.cpu().numpy())

    def _check_monitor(self, constant: Mapping[str, torch.Tensor]) -> None:
        assert self.monitor is not None
        where, (name, _, metric) = "trainer.early_stopping.monitor", self.monitor
        if name not in self.tasks:
            raise UserError(where, f"no validation row has a label of '{name}'", "monitor another task, or the score")
        if metric and metric not in (known := self._all_metrics(name, constant)):
            raise UserError(where, f"'{name}' has no metric '{metric}'", did_you_mean(metric, list(known)))


def answered(output: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Return which rows have an answer, bool of shape (n,): those whose outputs are all finite.

    Parameters
    ----------
    output : ndarray of shape (n, outputs) or (n, longest row, outputs)
        Of one task.
    lengths : ndarray of shape (n,), optional
        How many tokens each row has, where outputs are those of tokens.
    """
    finite = np.isfinite(output).all(-1)
    if output.ndim == 3:
        assert lengths is not None
        finite = (finite | (np.arange(output.shape[1]) >= lengths[:, None])).all(1)
    return np.asarray(finite)


def evaluate(
    found: Mapping[str, np.ndarray],
    part: Part,
    tasks: Mapping[str, Task],
    rows: np.ndarray | None = None,
    decided: Mapping[str, Decided] | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return the metrics of some rows, with those of the best constant predictor beside them.

    Parameters
    ----------
    found : mapping of str to ndarray
        The model's outputs by task.
    part : Part
    tasks : mapping of str to Task
    rows : ndarray of bool, optional
        Which rows of the part to take; all if None.
    decided : mapping of str to Decided, optional
        The classes that are written in place of the most probable ones, see ``decide``; by task, for all rows.
    weights : ndarray of shape (len(part),), optional
        How much each row counts in a second loss and skill of each task, ``weighted``, and their ``weighted_score``.

    Returns
    -------
    dict
        ``rows``, ``score``, and per task ``rows``, ``loss``, ``skill``, the metrics, ``constant`` with the constant
        predictor's, and ``classes`` with each class's rows, recall and precision. A row without an answer (see
        ``answered``) is not measured; ``not_finite`` is their number.
    """
    chosen = np.ones(len(part), bool) if rows is None else rows
    report: dict[str, Any] = {"rows": int(chosen.sum()), "score": math.nan, "tasks": {}}
    for name, task in tasks.items():
        labelled = chosen & part.targets[name].mask
        measured = labelled & answered(found[name], part.inputs.lengths)
        lost = int(labelled.sum() - measured.sum())
        report["tasks"][name] = (
            _task_report(found[name], part.targets[name], task, measured, (decided or {}).get(name), weights)
            if measured.any()
            else {"rows": 0}
        ) | ({"not_finite": lost} if lost else {})
    skills = {name: values["skill"] for name, values in report["tasks"].items() if "skill" in values}
    report["score"] = score(skills, tasks)
    if weights is not None:
        those = {name: values["weighted"]["skill"] for name, values in report["tasks"].items() if "weighted" in values}
        report["weighted_score"] = score(those, tasks)
    return report


def task_numbers(
    found: Mapping[str, np.ndarray], part: Part, tasks: Mapping[str, Task], rows: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return each task's loss, skill and metrics on some rows, as ``evaluate`` has them; nothing of a task without any.

    Parameters
    ----------
    found : mapping of str to ndarray
        The model's outputs by task.
    part : Part
    tasks : mapping of str to Task
    rows : ndarray of bool
        Which rows of the part to take.
    """
    chosen = {name: rows & part.targets[name].mask & answered(found[name], part.inputs.lengths) for name in tasks}
    return {
        name: _numbers(task, *_chosen(found[name], part.targets[name], None, chosen[name]))[0]
        for name, task in tasks.items()
        if chosen[name].any()
    }


def _task_report(
    output: np.ndarray,
    target: Target,
    task: Task,
    rows: np.ndarray,
    decided: Decided | None,
    weights: np.ndarray | None = None,
) -> dict[str, Any]:
    """Return what ``evaluate`` says of a task, measured on ``rows``, all of which have a label and an answer."""
    output, values, counts, decided = _chosen(output, target, decided, rows)
    found, baseline = _numbers(task, output, values, counts, decided)
    classes = task.by_class(output, values, decided)
    weighted = {}
    if weights is not None and weights[rows].any():
        constant = _constant(task, torch.from_numpy(values)).numpy()
        own = weights[rows] if counts is None else weights[rows] * counts
        least, most = (_mean_loss(task, each, values, own) for each in (output, constant))
        weighted = {"weighted": {"loss": least, "skill": skill(least, most), "constant": {"loss": most}}}
    return {
        "rows": len(values),
        **found,
        "constant": {"loss": baseline, **task.constant_metrics(values)},
        **({"classes": classes} if classes else {}),
        **weighted,
    }


def _chosen(
    output: np.ndarray, target: Target, decided: Decided | None, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, Decided | None]:
    """Return the outputs, labels, weights and classes of some rows."""
    if rows.all():  # or they would be copies for nothing
        return output, target.values, target.weights, decided
    counts = None if target.weights is None else target.weights[rows]
    return output[rows], target.values[rows], counts, None if decided is None else decided.select(rows)


def _numbers(
    task: Task, output: np.ndarray, values: np.ndarray, counts: np.ndarray | None, decided: Decided | None
) -> tuple[dict[str, float], float]:
    """Return the loss, the skill and the metrics of some rows, and the constant predictor's loss."""
    constant = _constant(task, torch.from_numpy(values)).numpy()
    loss, baseline = (_mean_loss(task, each, values, counts) for each in (output, constant))
    metrics = {**task.all_metrics(output, values, decided), **task.interval_metrics(output, values)}
    return {"loss": loss, "skill": skill(loss, baseline), **metrics}, baseline


def _constant(task: Task, target: torch.Tensor) -> torch.Tensor:
    """Return the best constant output for every label."""
    shape = target.shape[: 1 if task.level == "row" else 2]
    return torch.from_numpy(task.baseline).to(target.device).expand(*shape, -1)


def _mean(losses: torch.Tensor, counts: torch.Tensor | None) -> torch.Tensor:
    """Return the mean of rows' losses, each by its weight; NaN if none counts."""
    return losses.mean() if counts is None else (losses * counts).sum() / counts.sum()


def _mean_loss(task: Task, output: np.ndarray, values: np.ndarray, counts: np.ndarray | None) -> float:
    if task.couples:
        weights = None if counts is None else torch.from_numpy(counts)
        return float(_mean(*task.batch_loss(torch.from_numpy(output), torch.from_numpy(values), weights)))
    losses = np.empty(len(values))
    for start in range(0, len(values), CHUNK):  # the logarithms of all classes are as large as the outputs
        rows = slice(start, start + CHUNK)
        losses[rows] = task.loss(torch.from_numpy(output[rows]), torch.from_numpy(values[rows])).numpy()
    return float(np.average(losses, weights=counts))
