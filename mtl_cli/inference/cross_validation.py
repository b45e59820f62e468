"""What cross-validation says of a model: predictions of held-out rows, and metrics with intervals.

A metric is measured on each fold that was held out, by the member that had not seen it. Its mean has the interval of
the corrected resampled t-test (Nadeau & Bengio 2003, doi 10.1023/A:1024068626366, section 4): members share training
rows, so the variance of J results is taken times 1 / J + n_held / n_trained, not 1 / J.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mtl_cli.data.base import Part
from mtl_cli.inference.evaluate import score, task_numbers
from mtl_cli.inference.members import Outputs, average
from mtl_cli.tasks.task import Task

LEVEL = 0.95
"""Of the intervals."""


def placed(pieces: Sequence[tuple[np.ndarray, Outputs]], rows: int) -> Outputs:
    """Return outputs of all rows, NaN where none were given.

    Parameters
    ----------
    pieces : sequence of (ndarray of int, dict of str to ndarray)
        Row numbers, and the outputs on these rows by task.
    rows : int
    """
    found: Outputs = {}
    for name, first in pieces[0][1].items():
        shape = np.max([outputs[name].shape[1:] for _, outputs in pieces], axis=0)
        found[name] = np.full((rows, *shape), np.nan, dtype=first.dtype)
        for numbers, outputs in pieces:
            own = outputs[name]
            place: tuple[Any, ...] = (numbers,) if own.ndim == 2 else (numbers, slice(own.shape[1]))
            found[name][place] = own
    return found


def out_of_fold(repeats: Sequence[Outputs], covered: np.ndarray, tasks: Mapping[str, Task]) -> Outputs:
    """Return the outputs on the rows that were held out, NaN for the others; the mean over the repeats.

    Parameters
    ----------
    repeats : sequence of dict of str to ndarray
        By task, of all rows.
    covered : ndarray of bool
        Which rows were held out.
    tasks : mapping of str to Task
    """
    if len(repeats) == 1:
        return dict(repeats[0])
    means = average([{name: output[covered] for name, output in one.items()} for one in repeats], tasks)
    return placed([(np.flatnonzero(covered), means)], len(covered))


def cross_validated(
    repeats: Sequence[Outputs], numbers: np.ndarray, part: Part, tasks: Mapping[str, Task]
) -> dict[str, Any]:
    """Return the score and each task's metrics over the folds, each with ``mean``, ``low`` and ``high``.

    Parameters
    ----------
    repeats : sequence of dict of str to ndarray
        Outputs on held-out rows by task.
    numbers : ndarray of shape (repeats, n)
        Each row's fold.
    part : Part
        All n rows.
    tasks : mapping of str to Task
    """
    folds, scores, shares = [], [], []
    for found, own in zip(repeats, numbers, strict=True):
        for fold in range(own.max() + 1):
            held = own == fold
            folds.append(task_numbers(found, part, tasks, held))
            scores.append(score({name: each["skill"] for name, each in folds[-1].items()}, tasks))
            shares.append(held.sum() / (~held).sum())
    share = float(np.mean(shares))
    measured = {}
    for name in tasks:
        reports = [fold.get(name, {}) for fold in folds]
        keys = max(reports, key=len)
        measured[name] = {key: interval([report.get(key, math.nan) for report in reports], share) for key in keys}
    return {
        "folds": int(numbers[0].max() + 1),
        "repeats": len(repeats),
        "level": LEVEL,
        "score": interval(scores, share),
        "tasks": measured,
    }


def interval(values: Sequence[float], share: float) -> dict[str, float]:
    """Return the mean of results on held-out rows, with an interval of it; NaN among them are left out.

    Parameters
    ----------
    values : sequence of float
    share : float
        Rows held out, to a row trained on.
    """
    from scipy.special import stdtrit

    known = np.array([value for value in values if not math.isnan(value)])
    mean = float(known.mean()) if len(known) else math.nan
    if len(known) < 2:
        return {"mean": mean, "low": math.nan, "high": math.nan}
    half = stdtrit(len(known) - 1, (1 + LEVEL) / 2) * math.sqrt(known.var(ddof=1) * (1 / len(known) + share))
    return {"mean": mean, "low": mean - float(half), "high": mean + float(half)}
