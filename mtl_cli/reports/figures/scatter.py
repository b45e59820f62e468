"""Predicted numbers against true ones."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import BLUE, GREY, plain, resize, short

MOST_DOTS = 20_000
"""Of more rows, so many are drawn, at random."""
MOST_VECTORS = 1000
"""Of more dots, an SVG file has a picture, which is smaller."""
MOST_NUMBERS = 50
"""Whole-number labels with more different values lie apart enough."""
JITTER = 0.3
"""How far dots of whole-number labels are moved sideways at most."""


@component("figure", "scatter")
class Scatter(TaskFigure):
    """Predicted against true numbers of the test rows, with R², RMSE and the number of rows."""

    stem: ClassVar[str] = "predicted"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a dot per row, and the diagonal on which both are equal; on logarithmic axes if the task says so.

        Dots of whole-number labels are moved sideways at random, or they would lie on one another.
        """
        name, truth, predicted = answers.task.name, answers.labels.astype(float), answers.predicted.astype(float)
        title, xlabel = (
            f"{short(name, 40)}: predicted against true, {short(answers.where, 40)}",
            f"{short(name, 40)}, true",
        )
        random = np.random.default_rng(0)
        dots = np.arange(len(truth))
        if len(dots) > MOST_DOTS:
            dots = np.sort(random.choice(dots, MOST_DOTS, replace=False))
            title += f" ({MOST_DOTS:,} drawn)"
        x, y = truth[dots], predicted[dots]
        if _whole(truth):
            x = x + random.uniform(-JITTER, JITTER, len(x))
            xlabel += " (whole numbers, moved sideways at random)"
        resize(axes, 3.9, 3.9)
        low, high = _set_axes(axes, np.concatenate([x, y]), answers.task.log_axes)
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.8, zorder=1)
        opacity = float(np.clip(40 / np.sqrt(len(x)) / 4, 0.05, 0.6))
        axes.scatter(
            x, y, s=9, alpha=opacity, color=BLUE, edgecolors="none", rasterized=len(x) > MOST_VECTORS, zorder=2
        )
        axes.text(0.03, 0.97, _said(truth, predicted), transform=axes.transAxes, va="top", fontsize=8)
        axes.set(xlabel=xlabel, ylabel=f"{short(name, 40)}, predicted", title=title, aspect="equal")


def _whole(truth: np.ndarray) -> bool:
    """Whether labels are whole numbers of few values, which several rows share."""
    if not (truth == np.round(truth)).all():
        return False
    values = len(np.unique(truth))
    return values <= MOST_NUMBERS and values < len(truth) / 2


def _set_axes(axes: Axes, drawn: np.ndarray, logarithmic: bool) -> tuple[float, float]:
    """Give both axes one scale and one range, and return the range."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    low, high = float(drawn.min()), float(drawn.max())
    if logarithmic:  # log(1 + y) is linear below 1, as the second of the scales is
        scale = {"value": "log"} if low >= 1 else {"value": "symlog", "linthresh": 1.0}
        axes.set_xscale(**scale)
        axes.set_yscale(**scale)
        low, high = (low / 1.1 if low >= 1 else low - 0.03), high * 1.1 + 0.03
    else:
        room = 0.03 * ((high - low) or 1.0)
        low, high = low - room, high + room
    axes.set(xlim=(low, high), ylim=(low, high))
    for axis in (axes.xaxis, axes.yaxis) if logarithmic else ():
        axis.set_major_formatter(FuncFormatter(plain))
        axis.set_minor_formatter(NullFormatter() if high > 30 * max(low, 1) else FuncFormatter(_of_one_to_five))
    return low, high


def _of_one_to_five(value: float, place: object = None) -> str:
    """Write the number at a smaller tick of a logarithmic axis, where it is 1, 2 or 5 times a power of ten."""
    return plain(value) if f"{value:e}"[0] in "125" else ""


def _said(truth: np.ndarray, predicted: np.ndarray) -> str:
    """Return R² = 1 − Σ(y − ŷ)² / Σ(y − ȳ)², the root of the mean squared error, and the number of rows, as text."""
    squares, spread = ((truth - predicted) ** 2).sum(), ((truth - truth.mean()) ** 2).sum()
    r2 = f"R² {1 - squares / spread:.3f}\n" if spread > 0 else ""
    rmse = float(np.sqrt(squares / len(truth)))
    return f"{r2}RMSE {plain(round(rmse)) if rmse >= 1000 else f'{rmse:.4g}'}\nn {len(truth):,}"
