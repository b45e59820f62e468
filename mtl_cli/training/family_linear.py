"""Fitting the linear models that are beside a network on a family of sequences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from mtl_cli.data.base import Prepared
from mtl_cli.data.sequences.differences import difference_table
from mtl_cli.models.family_linear import FamilyLinear, mean_shares
from mtl_cli.training.baselines import LEAST, labelled

if TYPE_CHECKING:
    from mtl_cli.inference.evaluate import Validation
    from mtl_cli.tasks.task import Task

PENALTIES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Of the squared weights, beside the sum of the rows' losses; the one that is best on the validation rows is taken."""
USUAL = 3.0
"""That of a task of which no validation row has a label."""
FOLDS = 5
"""Of the training rows; each is left out of the models that say something of it to the second step."""
SECOND = 1.0
"""The penalty of the second step."""


class Fit(NamedTuple):
    """A linear model of a task.

    Parameters
    ----------
    weight : ndarray of shape (inputs, outputs)
    intercept : ndarray of shape (outputs,)
    """

    weight: np.ndarray
    intercept: np.ndarray

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
    """

    penalties: dict[str, float]
    shares: dict[str, float]

    @classmethod
    def by(cls, several: Sequence[FamilyLinear]) -> Chosen:
        """Return the medians of their penalties, and the means of their shares."""
        penalties = np.median([linear.penalties.tolist() for linear in several], axis=0)
        return cls(dict(zip(several[0].tasks, penalties.tolist(), strict=True)), mean_shares(several))


def fit_linear(linear: FamilyLinear, data: Prepared, validation: Validation | None, chosen: Chosen | None) -> None:
    """Fit the linear models to the training rows, in two steps.

    First each task's own, to the rows that have a label of it: numbers get ridge regression, classes logistic
    regression, with weights of rows and classes as the loss has them. Then another such model of each task learns from
    what the first ones of all tasks say of rows that were left out of them: what tasks have in common is learnt from
    all of their labels (Breiman & Friedman 1997, doi 10.1111/1467-9868.00054; Spyromitros-Xioufis et al. 2016, doi
    10.1007/s10994-016-5546-z). Both together are linear in the differences.

    Parameters
    ----------
    linear : FamilyLinear
    data : Prepared
    validation : Validation, optional
        What penalties are chosen by.
    chosen : Chosen, optional
        The penalties and the shares, where no rows are held out that could say them.
    """
    from threadpoolctl import threadpool_limits

    part, given = data.parts["train"], chosen or Chosen({}, {})
    train = difference_table(part.inputs, data.reader.spec)
    val = None if validation is None else difference_table(data.parts["val"].inputs, data.reader.spec)
    known: dict[str, Known] = {}
    penalties: dict[str, float] = {}
    first: list[Fit] = []
    left_out: list[np.ndarray] = []
    with threadpool_limits(1):
        for name in linear.tasks:
            task = data.tasks[name]
            values, rows, weights = labelled(name, task, [part])
            known[name] = labels = Known(np.flatnonzero(rows), values, weights)
            penalties[name] = given.penalties.get(name, USUAL)
            if validation is not None and name in validation.tasks:
                losses = [_loss(validation, name, _fit(task, penalty, train, labels)(val)) for penalty in PENALTIES]
                penalties[name] = PENALTIES[int(np.argmin(losses))]
            first.append(_fit(task, penalties[name], train, labels))
            left_out.append(_left_out(task, penalties[name], train, labels, first[-1]))
        weight, intercept = np.hstack([fit.weight for fit in first]), np.hstack([fit.intercept for fit in first])
        for place, name in enumerate(linear.tasks):
            second = _fit(data.tasks[name], SECOND, np.hstack(left_out), known[name])
            linear.set_task(name, weight @ second.weight, second(intercept), penalties[name])
            linear.shares[place] = given.shares.get(name, 0.0)


def _loss(validation: Validation, name: str, outputs: np.ndarray) -> float:
    """Return the mean loss of a task on the validation rows, given the outputs of all of them."""
    target = validation.targets[name]
    return float(validation.loss(name, torch.from_numpy(outputs.astype("float32")).to(target.device)))


def _left_out(task: Task, penalty: float, inputs: Any, known: Known, whole: Fit) -> np.ndarray:
    """Return what models of a task say of rows that they were not fitted to; the ``whole`` one of unlabelled rows."""
    from sklearn.model_selection import KFold

    found, count = whole(inputs), len(known.rows)
    if count >= FOLDS:
        for learnt, rest in KFold(FOLDS, shuffle=True, random_state=0).split(known.rows):
            rows = known.rows[rest]
            found[rows] = _fit(task, penalty, inputs, known.some(learnt))(inputs[rows])
    return found


def _fit(task: Task, penalty: float, inputs: Any, known: Known) -> Fit:
    """Fit a linear model of a task; where there is nothing to tell apart, it is the best constant."""
    from sklearn.linear_model import LogisticRegression, Ridge

    weight, intercept = np.zeros((inputs.shape[1], task.outputs)), np.array(task.baseline, "float64")
    rows, values, weights = known
    if len(np.unique(values)) < 2:
        return Fit(weight, intercept)
    if task.learns == "number":
        model = Ridge(alpha=penalty).fit(inputs[rows], values, weights)
        weight[:], intercept[:] = model.coef_[:, None], model.intercept_
        return Fit(weight, intercept)
    model = LogisticRegression(C=1 / penalty, max_iter=1000).fit(inputs[rows], values.astype("int64"), weights)
    if task.outputs == 1:  # the logit of the second of two classes
        there = np.array([0])
    else:
        intercept[:] = math.log(LEAST)  # of a class that no row to learn from has
        there = model.classes_
        if len(there) == 2:
            intercept[there[0]], there = 0.0, there[1:]
    weight[:, there], intercept[there] = model.coef_.T, model.intercept_
    return Fit(weight, intercept)
