"""Fitting the linear models that are beside a network."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mtl_cli.data.base import Notice, Part, Prepared
from mtl_cli.models.linear import LinearModels
from mtl_cli.training.baselines import LEAST, labelled

if TYPE_CHECKING:
    from mtl_cli.inference.evaluate import Validation
    from mtl_cli.tasks.task import Task

PENALTIES = (100.0, 30.0, 10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01)
"""Of the squared weights, beside the sum of the rows' losses; the one that is best on the validation rows is taken, and
none is tried after two in a row that are worse."""
USUAL = 3.0
"""That of a task of which no validation row of any network has a label."""
FOLDS = 5
"""Of the training rows; each is left out of the models that say something of it to the second step."""
SECOND = 1.0
"""The penalty of the second step, whose inputs have a deviation of 1."""


LONG, MOST = 10_000_000, 1_000_000_000
"""Numbers that are not 0 times outputs, beyond which the fitting takes 20 s of one core, or half an hour."""
SAMPLE = 1000
"""Rows that are counted to tell."""


class Fit(NamedTuple):
    """A linear model of a task.

    Parameters
    ----------
    weight : ndarray of shape (inputs, outputs)
    intercept : ndarray of shape (outputs,)
    model : LogisticRegression, optional
        Where it comes from: another fit that is like it begins there.
    """

    weight: np.ndarray
    intercept: np.ndarray
    model: Any = None

    def __call__(self, inputs: Any) -> np.ndarray:
        """Return the outputs, (n, outputs), given (n, inputs)."""
        return np.asarray(inputs @ self.weight + self.intercept)


class Known(NamedTuple):
    """Labels of a task: which rows have one, (n,), the encoded labels, and how much each counts, if not all alike."""

    rows: np.ndarray
    values: np.ndarray
    weights: np.ndarray | None

    def some(self, places: np.ndarray) -> Known:
        """Return some of them."""
        return Known(self.rows[places], self.values[places], None if self.weights is None else self.weights[places])


@dataclass(frozen=True)
class Chosen:
    """What the validation rows of some networks said of their linear models.

    Parameters
    ----------
    penalties, shares : dict of str to float
        By task.
    second : dict of str to bool
        Whether the second step was taken.
    """

    penalties: dict[str, float]
    shares: dict[str, float]
    second: dict[str, bool]

    @classmethod
    def by(cls, several: Sequence[LinearModels | None]) -> Chosen:
        """Return the medians of their penalties, the means of their shares, and what most did, where labels said so."""
        own, chosen = [linear for linear in several if linear is not None], cls({}, {}, {})
        for place, name in enumerate(own[0].tasks if own else ()):
            told = [linear for linear in own if linear.penalties[place] > 0]
            if told:
                chosen.penalties[name] = float(np.median([float(linear.penalties[place]) for linear in told]))
                chosen.shares[name] = float(np.mean([float(linear.shares[place]) for linear in told]))
                chosen.second[name] = bool(np.mean([float(linear.second[place]) for linear in told]) > 0.5)
        return chosen


def fit_linear(
    linear: LinearModels,
    data: Prepared,
    validation: Validation | None,
    chosen: Chosen | None,
    notice: Notice = lambda line: None,
) -> None:
    """Fit the linear models to the training rows, in two steps.

    First each task's own, to the rows that have a label of it: numbers get ridge regression, classes logistic
    regression, with weights of rows and classes as the loss has them. Then another such model of each task learns from
    what the first ones of all tasks say of rows that were left out of them: what tasks have in common is learnt from
    all of their labels (Breiman & Friedman 1997, doi 10.1111/1467-9868.00054; Spyromitros-Xioufis et al. 2016, doi
    10.1007/s10994-016-5546-z). Both together are linear in the inputs; where the first one has the smaller loss on the
    validation rows, it is left at that. Of far too many rows and classes nothing is fitted.

    Parameters
    ----------
    linear : LinearModels
    data : Prepared
    validation : Validation, optional
        What penalties and steps are chosen by.
    chosen : Chosen, optional
        These and the shares, where no rows are held out that could say them.
    notice : callable, optional
        Takes a line that the user should see.
    """
    from threadpoolctl import threadpool_limits

    part, given, reads = data.parts["train"], chosen or Chosen({}, {}, {}), copy.deepcopy(linear.reads).cpu()
    some = part.inputs.select(np.arange(0, len(part), -(-len(part) // SAMPLE)))
    work = reads.table(some).nnz / len(some) * len(part) * sum(linear.widths)
    if work > MOST:
        notice("model.linear: linear models of so many rows and classes are left out, for they take too long")
        return
    if work > LONG:
        notice("model.linear: linear models are fitted first, which takes a while; model.linear=none leaves them out")
    train = reads.table(part.inputs)
    losses = {} if validation is None else _losses(validation, linear.tasks, reads.table(data.parts["val"].inputs))
    with threadpool_limits(1):
        known = {name: _known(data.tasks[name], part) for name in linear.tasks}
        first: dict[str, Fit] = {}
        penalties: dict[str, float] = {}
        left_out: list[np.ndarray] = []
        for name in linear.tasks:
            task, penalty = data.tasks[name], given.penalties.get(name, USUAL)
            if name in losses:
                penalty, first[name] = _best(losses[name], task, train, known[name])
            else:
                first[name] = _fit(task, penalty, train, known[name])
            penalties[name] = penalty
            left_out.append(_left_out(task, penalty, train, known[name], first[name]))
        said = np.hstack(left_out)
        scale = np.where(said.std(0) > LEAST * np.abs(said).max(0), said.std(0), 1)  # 1 of constants, with rounding
        weight, intercept = (np.hstack([fit[i] for fit in first.values()]) / scale for i in (0, 1))
        for place, name in enumerate(linear.tasks):
            step = _fit(data.tasks[name], SECOND, said / scale, known[name])
            both = Fit(weight @ step.weight, step(intercept))
            second = losses[name](both) < losses[name](first[name]) if name in losses else given.second.get(name, False)
            linear.set_task(name, *(both if second else first[name])[:2])
            linear.shares[place] = given.shares.get(name, 0.0)
            if name in losses:
                linear.penalties[place], linear.second[place] = penalties[name], float(second)


def _known(task: Task, part: Part) -> Known:
    """Return the labels of a task that count at all, with weights whose mean is 1: their unit is of no matter."""
    values, rows, weights = labelled(task.name, task, [part])
    known = Known(np.flatnonzero(rows), values, weights)
    if weights is None:
        return known
    counting = np.flatnonzero(weights)
    return Known(known.rows, values, weights / (weights.mean() or 1)).some(counting)


def _losses(validation: Validation, tasks: Sequence[str], inputs: Any) -> dict[str, Callable[[Fit], float]]:
    """Return by task what says how large the loss of its linear model is on the validation rows, if any has a label."""

    def of(name: str) -> Callable[[Fit], float]:
        device = validation.targets[name].device
        return lambda fit: float(validation.loss(name, torch.from_numpy(fit(inputs).astype("float32")).to(device)))

    return {name: of(name) for name in tasks if name in validation.tasks}


def _best(loss: Callable[[Fit], float], task: Task, train: Any, known: Known) -> tuple[float, Fit]:
    """Return the penalty of the least loss on the validation rows, and the model that has it."""
    fit = _fit(task, PENALTIES[0], train, known)
    best, least, worse = (PENALTIES[0], fit), loss(fit), 0
    for penalty in PENALTIES[1:]:
        fit = _fit(task, penalty, train, known, fit)
        now = loss(fit)
        worse = 0 if now < least else worse + 1
        if now < least:
            best, least = (penalty, fit), now
        if worse == 2:
            break
    return best


def _left_out(task: Task, penalty: float, inputs: Any, known: Known, whole: Fit) -> np.ndarray:
    """Return what models of a task say of rows that they were not fitted to; the ``whole`` one of unlabelled rows."""
    from sklearn.model_selection import KFold, StratifiedKFold

    found, counts = whole(inputs), np.unique(known.values, return_counts=True)[1]
    if len(known.rows) < FOLDS or (task.learns == "class" and counts.max() < FOLDS):
        return found
    folds = (KFold if task.learns == "number" else StratifiedKFold)(FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        for learnt, rest in folds.split(known.rows, known.values):
            rows = known.rows[rest]
            found[rows] = _fit(task, penalty, inputs, known.some(learnt), whole)(inputs[rows])
    return found


def _fit(task: Task, penalty: float, inputs: Any, known: Known, near: Fit | None = None) -> Fit:
    """Fit a linear model of a task, beginning at another; where nothing is to tell apart, it is the best constant."""
    from sklearn.linear_model import LogisticRegression, Ridge

    weight, intercept = np.zeros((inputs.shape[1], task.outputs)), np.array(task.baseline, "float64")
    rows, values, weights = known
    there = np.unique(values)
    if len(there) < 2:
        return Fit(weight, intercept)
    if task.learns == "number":
        ridge = Ridge(alpha=penalty).fit(inputs[rows], values, weights)
        weight[:], intercept[:] = ridge.coef_[:, None], ridge.intercept_
        return Fit(weight, intercept)
    model = LogisticRegression(C=1 / penalty, max_iter=1000, warm_start=True)
    if near is not None and near.model is not None and np.array_equal(near.model.classes_, there):
        model.coef_, model.intercept_ = near.model.coef_, near.model.intercept_
    model.fit(inputs[rows], values.astype("int64"), weights)
    if task.outputs == 1:  # the logit of the second of two classes
        places = np.array([0])
    else:
        intercept[:] = math.log(LEAST)  # of a class that no row to learn from has
        places = model.classes_
        if len(places) == 2:
            intercept[places[0]], places = 0.0, places[1:]
    weight[:, places], intercept[places] = model.coef_.T, model.intercept_
    return Fit(weight, intercept, model)
