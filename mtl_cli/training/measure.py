"""How good a trained model is, on every part of the data and on the rows that were held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mtl_cli.data.held_out import select
from mtl_cli.inference.answer import Answer, add_levels, answer_of, predictions_with_labels
from mtl_cli.inference.consistency import decide
from mtl_cli.inference.cross_validation import cross_validated, out_of_fold
from mtl_cli.inference.evaluate import evaluate
from mtl_cli.inference.members import outputs_of
from mtl_cli.tasks.task import Task
from mtl_cli.training.build import Ready
from mtl_cli.training.callbacks.base import Best
from mtl_cli.training.held_out import outputs_of_held_out
from mtl_cli.training.members import Trained


@dataclass(frozen=True)
class Measured:
    """How good the trained model is.

    Parameters
    ----------
    best : Best
        The epoch whose weights were kept; of several members the median of their epochs.
    metrics : dict
        What ``metrics.json`` holds.
    answer : Answer, optional
        What the model says of the test rows, if there are any.
    predictions : DataFrame, optional
        What ``predictions.csv`` holds.
    held_out : DataFrame, optional
        What ``out_of_fold.csv`` holds.
    """

    best: Best
    metrics: dict[str, Any]
    answer: Answer | None
    predictions: pd.DataFrame | None = None
    held_out: pd.DataFrame | None = None


def measure(ready: Ready, model: Sequence[Trained], trained: Sequence[Trained], final: Mapping[str, Task]) -> Measured:
    """Measure the trained model on every part of the data, and its members on the rows that they had not seen.

    Parameters
    ----------
    ready : Ready
    model : sequence of Trained
        The members whose mean the model predicts.
    trained : sequence of Trained
        Those that rows were held out of.
    final : mapping of str to Task
        With the steps behind the model (see ``fit_steps``), for the test rows. The others are measured without them:
        they were fitted to some of these rows, and would look better there than they are.
    """
    data = ready.data
    epoch = int(np.median([one.best.epoch for one in model]))
    metrics: dict[str, Any] = {"score": None, "epoch": epoch, "splits": {}}
    metrics["primary"] = {name: task.primary for name, task in data.tasks.items()}
    test_answer = table = held_out = None
    for name, part in data.parts.items():
        inputs = part.inputs.to(ready.device)
        tasks = dict(final) if name == "test" else data.tasks
        members = [outputs_of(one.model, inputs, tasks) for one in model]
        notice = ready.progress.notice if name == "test" else (lambda line: None)
        answer = answer_of(members, tasks, data.reader.hierarchy, None, notice)
        metrics["splits"][name] = evaluate(answer.outputs, part, tasks, None, answer.decided)
        if name == "test":
            add_levels(metrics["splits"][name], answer, part)
            test_answer, table = answer, predictions_with_labels(answer, tasks, part)
            if part.duplicates.any():
                unseen = evaluate(answer.outputs, part, tasks, ~part.duplicates, answer.decided)
                metrics["splits"]["test_unseen"] = unseen
    if data.held_out is not None:
        held_out = _measure_held_out(ready, trained, metrics)
    if "val" in metrics["splits"]:
        metrics["score"] = metrics["splits"]["val"]["score"]
    if len(trained) > 1 or model is not trained:
        metrics["members"] = [_about(one) for one in (*trained, *(model if model is not trained else ()))]
    best = Best(metrics["score"] if metrics["score"] is not None else float("nan"), epoch)
    return Measured(best, metrics, test_answer, table, held_out)


def _measure_held_out(ready: Ready, trained: Sequence[Trained], metrics: dict[str, Any]) -> pd.DataFrame:
    """Add the metrics of the rows that were held out, and return their predictions."""
    held, part, tasks = ready.data.held_out, ready.data.parts["train"], ready.data.tasks
    assert held is not None
    repeats = outputs_of_held_out(ready, trained)
    covered = held.numbers[0] >= 0
    found = out_of_fold(repeats, covered, tasks)
    answer = Answer(found, decide(found, tasks, ready.data.reader.hierarchy, None, lambda line: None))
    metrics["splits"]["val"] = evaluate(found, part, tasks, covered, answer.decided)
    if held.numbers.max() > 0:
        metrics["cross_validation"] = cross_validated(repeats, held.numbers, part, tasks)
    chosen = select(part, np.flatnonzero(covered), tasks)
    return predictions_with_labels(answer.select(covered), tasks, chosen)


def _about(one: Trained) -> dict[str, Any]:
    """Return what ``metrics.json`` says of a member: its seed, the fold held out of it from 1, and its best epoch."""
    member = one.member
    place = {"repeat": member.repeat, "fold": member.fold}
    numbered = {key: None if number is None else number + 1 for key, number in place.items()}
    return {"seed": one.seed, **numbered, "epoch": one.best.epoch, "steps": one.best.steps, "score": one.best.score}
