"""Stated probabilities against what came true."""

from __future__ import annotations

from typing import ClassVar

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.tasks.calibration import reliability


@component("figure", "calibration")
class Calibration(TaskFigure):
    """The reliability diagram of the test rows."""

    stem: ClassVar[str] = "calibration"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw the observed frequency in each bin of stated probability, with its number of rows."""
        confidence, hit = answers.confidence
        mean, frequency, count = reliability(confidence, hit)
        axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
        axes.plot(mean, frequency, marker="o")
        for x, y, n in zip(mean, frequency, count, strict=True):
            axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(6, -10), fontsize=8, color="0.4")
        axes.set(
            xlabel="stated probability", ylabel="observed frequency", xlim=(0, 1), ylim=(0, 1.02),
            title=f"{answers.task.name}: calibration on test rows (with row counts)",
        )  # fmt: skip
