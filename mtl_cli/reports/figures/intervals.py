"""Predicted intervals and the labels that they are to hold."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import BLUE, GREY, VERMILION, short

MOST = 200
"""Of more rows so many are drawn, evenly in the order of their predictions."""


@component("figure", "intervals")
class Intervals(TaskFigure):
    """The intervals of the test rows in the order of their predictions, with the labels; red where one is outside."""

    stem: ClassVar[str] = "intervals"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a line per row from end to end, and a dot at its label."""
        task: Any = answers.task
        ends = task.interval_columns(answers.outputs)
        truth, predicted = answers.labels.astype(float), answers.predicted.astype(float)
        title = f"{short(task.name, 40)}: intervals and labels, {short(answers.where, 40)}"
        if not ends:
            axes.set(title=title)
            return
        low, high = (np.asarray(values) for values in ends.values())
        inside = (low <= truth) & (truth <= high)
        order = np.argsort(predicted, kind="stable")
        if len(order) > MOST:
            order = order[np.linspace(0, len(order) - 1, MOST).astype(int)]
            title += f" ({MOST} drawn)"
        places = np.arange(len(order))
        axes.vlines(places, low[order], high[order], color=GREY, alpha=0.5, linewidth=1.2)
        for held, color, label in ((inside, BLUE, "inside"), (~inside, VERMILION, "outside")):
            chosen = held[order]
            axes.scatter(places[chosen], truth[order][chosen], s=9, color=color, label=label, zorder=2)
        asked = task.post_hoc.conformal.coverage
        axes.text(
            0.03,
            0.97,
            f"{inside.mean():.1%} inside, of {asked:.0%} asked for",
            transform=axes.transAxes,
            va="top",
            fontsize=8,
        )
        axes.set(xlabel="rows in the order of their predictions", ylabel=short(task.name, 40), title=title)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
