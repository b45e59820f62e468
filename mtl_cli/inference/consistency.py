"""What is decided behind the model: by thresholds, by tasks that have to agree, by the cells of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from mtl_cli.tasks.links import log_sum_exp, softmax
from mtl_cli.tasks.task import Decided

if TYPE_CHECKING:
    from mtl_cli.data.base import Notice
    from mtl_cli.tasks.hierarchy import Hierarchy
    from mtl_cli.tasks.task import Task

CHUNK = 8192
"""Rows whose best paths are found at once."""


def decide(
    found: Mapping[str, np.ndarray],
    tasks: Mapping[str, Task],
    hierarchy: Hierarchy | None,
    clusters: pd.Series | None,
    notice: Notice,
) -> dict[str, Decided]:
    """Return the classes that a threshold, a hierarchy or clusters choose in the model's place.

    They are written, and they are measured.

    Parameters
    ----------
    found : mapping of str to ndarray of shape (n, outputs)
        The model's outputs by task.
    tasks : mapping of str to Task
    hierarchy : Hierarchy, optional
        The number of rows that contradict it is reported; with ``mode: enforce`` their labels become those of the
        most probable path (see ``Hierarchy.best_path``), and ``_prob`` the probability that the
        task's own head gives that label.
    clusters : Series of shape (n,), optional
        Rows of one value take the label that most of them have (the first in class order of equally many), and
        ``_prob`` becomes the mean of their probabilities of it. Where there is a hierarchy only its levels are voted on
        (a cluster has a cell type, but each of its cells is in a phase of its own), and under ``enforce`` they are as
        one, so that they still fit. Rows without a value keep their own, and rows whose outputs are not finite have no
        say.
    notice : callable
        Takes a line that the user should see.

    Returns
    -------
    dict of str to Decided
        By task, for those tasks alone whose classes are not simply the model's most probable: of binary and multilabel
        tasks, those with a threshold of their own.
    """
    over = {name: task.over_threshold(found[name]) for name, task in tasks.items()}
    decided = {name: chosen for name, chosen in over.items() if chosen is not None}
    return decided | _agreeing(found, tasks, hierarchy, clusters, notice)


def _agreeing(
    found: Mapping[str, np.ndarray],
    tasks: Mapping[str, Task],
    hierarchy: Hierarchy | None,
    clusters: pd.Series | None,
    notice: Notice,
) -> dict[str, Decided]:
    """Return the classes of tasks with one class a row, made to agree."""
    classes = {name: task for name, task in tasks.items() if task.one_class}
    levels = list(classes) if hierarchy is None else hierarchy.levels
    enforce = hierarchy is not None and hierarchy.mode == "enforce"
    chosen = {name: found[name].argmax(1) for name in classes}
    if hierarchy is not None:
        wrong = hierarchy.contradictions([chosen[name] for name in levels], [tasks[name].outputs for name in levels])
        if wrong.any():
            done = (
                "replaced by the most probable consistent labels" if enforce else "hierarchy: enforce makes them agree"
            )
            them = " and ".join(levels)
            notice(f"{wrong.sum()} of {len(wrong)} rows: the predicted {them} contradict each other; {done}")
        if enforce:
            for start in range(0, len(wrong), CHUNK):
                rows = slice(start, start + CHUNK)
                path = hierarchy.best_path([softmax(found[name][rows]) for name in levels])
                for name, best in zip(levels, path, strict=True):
                    chosen[name][rows] = best
    if not enforce and clusters is None:
        return {}
    stated = {name: _probability_of(chosen[name], found[name]) for name in levels}
    if clusters is not None:
        finite = np.logical_and.reduce([np.isfinite(found[name]).all(1) for name in levels], axis=0)
        for names in [levels] if enforce else [[name] for name in levels]:
            _vote(names, clusters.where(finite), found, chosen, stated)
    return {name: Decided(chosen[name], stated[name]) for name in levels}


def _vote(
    names: list[str],
    clusters: pd.Series,
    found: Mapping[str, np.ndarray],
    chosen: dict[str, np.ndarray],
    stated: dict[str, np.ndarray],
) -> None:
    """Give each cluster one label of each task in ``names``, chosen as one; changes ``chosen`` and ``stated``."""
    paths, path = np.unique(np.column_stack([chosen[name] for name in names]), axis=0, return_inverse=True)
    cluster, _ = pd.factorize(clusters)
    for number in range(cluster.max() + 1):
        rows = np.flatnonzero(cluster == number)
        winner = paths[np.bincount(path[rows]).argmax()]
        for name, label in zip(names, winner, strict=True):
            chosen[name][rows] = label
            stated[name][rows] = _probability_of(chosen[name][rows], found[name][rows]).mean()


def _probability_of(chosen: np.ndarray, output: np.ndarray) -> np.ndarray:
    """Return the probability of one class in each row."""
    return np.asarray(np.exp(output[np.arange(len(output)), chosen] - log_sum_exp(output)[0]))
