"""The confusion matrix."""

from __future__ import annotations

from typing import Any, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure


@component("figure", "confusion")
class Confusion(TaskFigure):
    """The test rows by true and predicted class; for tasks with ``classes``."""

    stem: ClassVar[str] = "confusion"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a cell per pair of classes, shaded by its share of the true class."""
        import numpy as np

        task: Any = answers.task
        names = [str(label) for label in task.classes]
        position = {name: i for i, name in enumerate(names)}
        counts = np.zeros((len(names), len(names)), dtype=int)
        for true, guess in zip(answers.labels, answers.predicted, strict=True):
            counts[position[str(true)], position[str(guess)]] += 1
        share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        if len(names) <= 12:
            for (i, j), count in np.ndenumerate(counts):
                axes.text(j, i, str(count), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
        if len(names) <= 30:
            axes.set_xticks(range(len(names)), names, rotation=0 if len(names) < 8 else 90)
            axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="predicted", ylabel="true", title=f"{task.name}: test rows by true and predicted class")
