"""Accuracy of the answers that a model is surest of, against how many these are."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import BLUE, GREY, SKY, resize, short
from mtl_cli.tasks.calibration import wilson_interval
from mtl_cli.tasks.selective import curve

POINTS = 500
"""Rows of the CSV file, at most."""


@component("figure", "coverage")
class Coverage(TaskFigure):
    """The accuracy-coverage curve of the test rows: what ``mtl predict --unknown`` trades for what."""

    stem: ClassVar[str] = "coverage"

    def suits(self, answers: Answers) -> bool:
        """Whether the rows of the task have an answer with a probability."""
        return answers.task.can_abstain

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw the accuracy of the surest rows with its 95 % interval, from one row to all."""
        rows, accuracy, _ = _curve(answers)
        low, high = wilson_interval(accuracy, rows)
        share = rows / rows[-1]
        resize(axes, 4.2, 3.0)
        axes.fill_between(share, low, high, color=SKY, alpha=0.4, linewidth=0, label="95 % (Wilson)")
        axes.plot(share, accuracy, color=BLUE)
        axes.axhline(accuracy[-1], color=GREY, linewidth=0.8, label=f"all {rows[-1]:,} rows: {accuracy[-1]:.3f}")
        title = f"{short(answers.task.name, 40)}: accuracy and coverage, {short(answers.where, 40)}"
        axes.set(xlabel="share of rows answered, the surest first", ylabel="share of answers right", title=title)
        axes.set(xlim=(0, 1), ylim=(max(0.0, float(low[len(low) // 10 :].min()) - 0.05), 1.01))
        axes.legend(fontsize=8, loc="lower left")

    def table(self, answers: Answers) -> list[dict[str, Any]]:
        """Return the curve: from which probability on how many are answered, and how many of these are right."""
        rows, accuracy, probability = _curve(answers)
        chosen = np.unique(np.linspace(0, len(rows) - 1, min(POINTS, len(rows))).astype(int))
        return [
            {
                "coverage": float(rows[i] / rows[-1]),
                "accuracy": float(accuracy[i]),
                "rows": int(rows[i]),
                "probability": float(probability[i]),
            }
            for i in chosen
        ]


def _curve(answers: Answers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    task = answers.task
    decided = None if answers.decided is None else answers.decided.select(answers.mask)
    answer = task.answer(answers.outputs, decided)
    return curve(answer.confidence, task.is_right(answer.classes, answers.values))
