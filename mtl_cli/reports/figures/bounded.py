"""Predicted numbers against true ones of which some are known only from bounds."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import BLUE, GREY, VERMILION, resize, short
from mtl_cli.tasks.bounds import Bounds, parse_bounds

MOST = 5_000


@component("figure", "censored")
class Bounded(TaskFigure):
    """Predicted against true numbers of the test rows: dots where a number is known, lines over where it may lie."""

    stem: ClassVar[str] = "predicted"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw dots, lines with an arrow where there is one bound, and the diagonal; red where a bound is not kept."""
        known = [parse_bounds(text) or Bounds(np.nan, np.nan) for text in answers.labels]
        ends, predicted = np.array(known, dtype=float).reshape(-1, 2), answers.predicted.astype(float)
        title = f"{short(answers.task.name, 40)}: predicted against true, {short(answers.where, 40)}"
        if len(ends) > MOST:
            chosen = np.sort(np.random.default_rng(0).choice(len(ends), MOST, replace=False))
            ends, predicted, title = ends[chosen], predicted[chosen], f"{title} ({MOST:,} drawn)"
        finite = np.concatenate([ends[np.isfinite(ends)], predicted])
        room = 0.05 * ((finite.max() - finite.min()) or 1.0)
        low, high = finite.min() - room, finite.max() + room
        exact = ends[:, 0] == ends[:, 1]
        resize(axes, 3.9, 3.9)
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
        opacity = float(np.clip(10 / np.sqrt(max(len(ends), 1)), 0.1, 0.7))
        axes.scatter(ends[exact, 0], predicted[exact], s=9, color=BLUE, alpha=opacity, edgecolors="none", zorder=3)
        kept = (predicted >= ends[:, 0]) & (predicted <= ends[:, 1])
        for chosen, color in ((~exact & kept, BLUE), (~exact & ~kept, VERMILION)):
            left, right = ends[chosen, 0].clip(low, high), ends[chosen, 1].clip(low, high)
            axes.hlines(predicted[chosen], left, right, color=color, alpha=opacity / 2, linewidth=0.8, zorder=2)
            for side, mark in ((0, "<"), (1, ">")):
                open_ended = chosen & np.isinf(ends[:, side])
                at = np.where(side == 0, ends[open_ended, 1], ends[open_ended, 0])
                axes.scatter(at, predicted[open_ended], s=14, marker=mark, color=color, alpha=opacity, zorder=2)
        said = f"n {len(answers.labels):,}\n{int((~exact).sum()):,} bounds, {int((~exact & kept).sum()):,} kept"
        axes.text(0.03, 0.97, said, transform=axes.transAxes, va="top", fontsize=8)
        name = short(answers.task.name, 40)
        axes.set(xlabel=f"{name}, true, or its bounds", ylabel=f"{name}, predicted", title=title)
        axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
