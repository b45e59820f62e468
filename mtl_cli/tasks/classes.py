"""What tasks with classes have in common, whatever it is that has a class: a row, or each token of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.tasks.labels import text_of
from mtl_cli.tasks.task import Label


def unseen_classes(classes: Sequence[Label], counts: np.ndarray, where: str) -> list[Label]:
    """Return the classes without a training label; ``counts`` are those labels by class.

    Raises
    ------
    UserError
        If all training labels are of one class.
    """
    if (counts > 0).sum() == 1:
        raise UserError(where, f"all labels of the training rows are '{classes[int(counts.argmax())]}'")
    return [label for label, count in zip(classes, counts, strict=True) if count == 0]


def class_weights(
    asked: Literal["balanced"] | Mapping[str, float], classes: Sequence[Label], counts: np.ndarray, where: str
) -> list[float]:
    """Return the weight of each class in the loss: as asked, or n / (classes · n_class) if ``balanced``.

    Parameters
    ----------
    asked : "balanced" or mapping
        Weights by class; a class that is not named has 1.
    classes : sequence
    counts : ndarray of shape (classes,)
        Training rows of each class.
    where : str
        The task's key, for messages.

    Raises
    ------
    UserError
        If a weight is asked for what is not a class.
    """
    if asked == "balanced":
        return [float(counts.sum() / (len(counts) * max(count, 1))) for count in counts]
    assert isinstance(asked, Mapping)
    names = [text_of(label) for label in classes]
    for name in asked:
        if text_of(name) not in names:
            raise UserError(f"{where}.class_weights.{name}", f"no class is '{name}'", did_you_mean(name, names))
    given = {text_of(name): weight for name, weight in asked.items()}
    return [given.get(name, 1.0) for name in names]


def best_constant(counts: np.ndarray, weights: Sequence[float] | None, smoothing: float = 0.0) -> list[float]:
    """Return the log-probabilities of the best constant prediction, w_c ((1 − ε) f_c + ε / C) normalised.

    A class that no training label is of counts as one label, or its loss would be infinite.
    """
    counts = np.maximum(counts, 1)
    mass = np.array(weights or [1.0] * len(counts))
    mass = mass * ((1 - smoothing) * counts / counts.sum() + smoothing / len(counts))
    return [float(share) for share in np.log(np.maximum(mass / mass.sum(), 1e-12))]


def per_class(classes: Sequence[Label], truth: np.ndarray, predicted: np.ndarray) -> dict[str, dict[str, float]]:
    """Return of each class its rows, recall (of its rows) and precision (of the rows given it), NaN where of none.

    Parameters
    ----------
    classes : sequence
    truth, predicted : ndarray of int, shape (n,)
        Class numbers.
    """
    rows, given = (np.bincount(each, minlength=len(classes)) for each in (truth, predicted))
    hits = np.bincount(truth[truth == predicted], minlength=len(classes))
    return counted(classes, rows, given, hits)


def counted(
    classes: Sequence[Label], rows: np.ndarray, given: np.ndarray, hits: np.ndarray
) -> dict[str, dict[str, float]]:
    """Return what ``per_class`` does, from counts.

    Parameters
    ----------
    classes : sequence
    rows, given, hits : ndarray of shape (classes,)
        For each class how many rows are of it, are predicted to be, and are both.
    """
    with np.errstate(invalid="ignore"):
        recall, precision = hits / rows, hits / given
    every = zip(classes, rows.tolist(), recall.tolist(), precision.tolist(), strict=True)
    return {str(label): {"rows": n, "recall": r, "precision": p} for label, n, r, p in every}


def class_metrics(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the metrics that depend on the predicted classes alone."""
    from sklearn import metrics

    present = np.unique(truth)
    either = np.union1d(present, predicted)
    _, recall, f1, _ = metrics.precision_recall_fscore_support(truth, predicted, labels=either, zero_division=0)
    return {
        "accuracy": float(metrics.accuracy_score(truth, predicted)),
        "balanced_accuracy": float(recall[np.isin(either, present)].mean()),
        "macro_f1": float(f1.mean()),
    }
