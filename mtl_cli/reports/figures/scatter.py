"""Predicted numbers against true ones."""

from __future__ import annotations

from typing import ClassVar

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure


@component("figure", "scatter")
class Scatter(TaskFigure):
    """Predicted against true numbers of the test rows."""

    stem: ClassVar[str] = "predicted"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a dot per row, and the diagonal on which both are equal."""
        name, truth, predicted = answers.task.name, answers.labels.astype(float), answers.predicted
        low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
        axes.plot([low, high], [low, high], color="0.6", linewidth=1)
        axes.scatter(truth, predicted, s=12, alpha=0.4, edgecolors="none", rasterized=True)
        title = f"{name}: predicted against true, test rows"
        axes.set(xlabel=f"{name}, true", ylabel=f"{name}, predicted", title=title)
