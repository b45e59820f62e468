"""Stated probabilities against what came true."""

from __future__ import annotations

from typing import ClassVar

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import BLUE, GREY, SKY, resize, short
from mtl_cli.tasks.calibration import BINS, expected_calibration_error, reliability, wilson_interval


@component("figure", "calibration")
class Calibration(TaskFigure):
    """The reliability diagram of the test rows, with the expected calibration error and the number of probabilities."""

    stem: ClassVar[str] = "calibration"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw the frequency in each bin of stated probability with its 95 % interval, and below how many there are."""
        confidence, hit = answers.confidence
        mean, frequency, count = reliability(confidence, hit)
        low, high = wilson_interval(frequency, count)
        stated, observed = answers.task.stated
        resize(axes, 3.4, 4.1)
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((left, bottom + 0.24 * height, width, 0.76 * height))
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8)
        axes.errorbar(mean, frequency, (frequency - low, high - frequency), fmt="o-", color=BLUE, ms=4, elinewidth=0.8)
        said = f"ECE {expected_calibration_error(confidence, hit):.3f}\nn {len(hit):,}\nbars: 95 % (Wilson)"
        axes.text(0.03, 0.97, said, transform=axes.transAxes, va="top", fontsize=8)
        title = f"{short(answers.task.name, 40)}: reliability diagram, {short(answers.where, 40)}"
        axes.set(ylabel=observed, xlim=(0, 1), ylim=(0, 1.02), title=title)
        axes.tick_params(labelbottom=False)
        below = axes.figure.add_axes((left, bottom, width, 0.19 * height))
        below.hist(confidence, bins=BINS, range=(0, 1), color=SKY)
        below.set(xlabel=stated, ylabel="count", xlim=(0, 1))
        below.locator_params(axis="y", nbins=3, integer=True)
