"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.cells import Cells, joined, largest, names_of, natural
from mtl_cli.reports.figures.layout import short

WITH_PERCENT = 12
"""Classes up to which there is room for percentages."""


@component("figure", "confusion")
class Confusion(TaskFigure):
    """What is labelled, rows or tokens of them, by true and predicted class; for tasks with ``classes``."""

    stem: ClassVar[str] = "confusion"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a cell per pair of classes with its count, and its percentage of the true class, which shades it."""
        names, counts = counted(answers)
        shown = largest(counts.sum(1) + counts.sum(0) * 1e-6)
        counts = joined(joined(counts, shown, 0), shown, 1)
        size, few = counts.sum(1), len(counts) <= WITH_PERCENT
        shares = counts / np.maximum(size, 1)[:, None]
        kept = names_of(names, shown)
        side = 0.62 if few else 0.24
        Cells(counts, shares, kept, kept, size, side, side, "\n" if few else None).draw(axes)
        what = (
            short(answers.where, 40)
            if answers.task.level == "row"
            else f"{answers.task.token_name} of {short(answers.where, 40)}"
        )
        said = "counts, and percent of the true class" if few else "counts, shaded by the share of the true class"
        title = f"{short(answers.task.name, 40)}: confusion matrix, {what}\n{said}"
        axes.set(xlabel="predicted", ylabel="true, with its count", title=title)

    def table(self, answers: Answers) -> list[dict[str, Any]]:
        """Return all pairs that occur, where the picture has no room for the percentages or for all classes."""
        names, counts = counted(answers)
        if len(names) <= WITH_PERCENT:
            return []
        size = counts.sum(1)
        return [
            {"true": names[i], "predicted": names[j], "count": int(n), "percent": round(100 * n / size[i], 2)}
            for (i, j), n in np.ndenumerate(counts)
            if n
        ]


def counted(answers: Answers) -> tuple[list[str], np.ndarray]:
    """Return the names of the classes in order, and how often each (true, predicted) pair of them came.

    Two classes, or ordered ones, are in the task's order; others are in theirs, numbers in texts by their value.
    """
    task: Any = answers.task
    names = [str(label) for label in task.classes]
    if len(names) > 2 and not task.ordered and all(isinstance(label, str) for label in task.classes):
        names = sorted(names, key=natural)
    true, guess = (each.astype(str) for each in (answers.labels, answers.predicted))
    if task.level == "token":
        true, guess = _tokens(true, guess, names, task.split)
    position = {name: i for i, name in enumerate(names)}
    pairs = [(position[t], position[g]) for t, g in zip(true, guess, strict=True)]
    counts = np.zeros((len(names), len(names)), dtype=int)
    np.add.at(counts, tuple(np.array(pairs).T), 1)
    return names, counts


def _tokens(
    true: np.ndarray, guess: np.ndarray, names: list[str], split: Callable[[str], Sequence[str]]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the labels of tokens that have one, as far as both texts go; a row may have been cut."""
    pairs = [pair for t, g in zip(true, guess, strict=True) for pair in zip(split(t), split(g), strict=False)]
    every = np.array(pairs, dtype=object).reshape(-1, 2).T
    labelled = np.isin(every[0], names)
    return every[0, labelled], every[1, labelled]
