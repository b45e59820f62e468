"""The confusion of each label of a multilabel task."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.cells import Cells, joined, largest, names_of, natural
from mtl_cli.reports.figures.layout import short

COLUMNS = ("true positive", "false negative", "false positive", "true negative")


@component("figure", "label_confusion")
class LabelConfusion(TaskFigure):
    """For each label, the rows that carry it or not by whether it is predicted; for tasks with ``classes``."""

    stem: ClassVar[str] = "confusion"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a row of four cells per label: counts, and percent of the rows that carry it, or do not."""
        names, counts = counted(answers)
        shown = largest(counts[:, :2].sum(1))
        counts = joined(counts, shown, 0)
        carried, free = counts[:, :2].sum(1), counts[:, 2:].sum(1)
        shares = counts / np.maximum(np.stack([carried, carried, free, free], 1), 1)
        Cells(counts, shares, names_of(names, shown), COLUMNS, carried, 1.1, 0.24, " · ").draw(axes)
        said = "counts, and percent of the rows that carry the label (left), or do not (right)"
        title = f"{short(answers.task.name, 40)}: confusion of each label, {short(answers.where, 40)}\n{said}"
        axes.set(ylabel="label, rows", title=title)

    def table(self, answers: Answers) -> list[dict[str, Any]]:
        """Return the counts of all labels, where the picture has no room for all."""
        names, counts = counted(answers)
        if len(largest(counts[:, 0])) == len(names):
            return []
        keys = [column.replace(" ", "_") for column in COLUMNS]
        return [
            {"label": name, **dict(zip(keys, own, strict=True))}
            for name, own in zip(names, counts.tolist(), strict=True)
        ]


def counted(answers: Answers) -> tuple[list[str], np.ndarray]:
    """Return the labels, and of each its true positives, false negatives, false positives and true negatives."""
    import pandas as pd

    task: Any = answers.task
    truth = answers.values > 0.5
    guess = task.encode(pd.Series(answers.predicted)).values > 0.5
    known = answers.values >= 0
    counts = [each & known for each in (truth & guess, truth & ~guess, ~truth & guess, ~truth & ~guess)]
    order = sorted(range(len(task.classes)), key=lambda i: natural(task.classes[i]))
    return [task.classes[i] for i in order], np.stack([each.sum(0) for each in counts], 1)[order]
