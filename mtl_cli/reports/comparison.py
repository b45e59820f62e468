"""Figures of groups of runs: intervals, mean ranks, weights over time, and two tasks against each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mtl_cli.io import atomic
from mtl_cli.reports.figures.layout import (
    BLUE,
    GREY,
    PALETTE,
    Axes,
    distinct,
    few_ticks,
    import_matplotlib,
    legend,
    legend_above,
    panels,
    resize,
    settings,
)

DPI = 200
MARKS = "osD^vP*X"
"""Of groups, beside their colours, for those who see few of them."""


@dataclass(frozen=True)
class Point:
    """A group's mean, and half the width of its interval; NaN if there is none."""

    mean: float
    half: float


def draw(path: Path, on: Callable[[Axes], None]) -> Path:
    """Draw on axes of a figure of their own, and write it."""
    matplotlib = import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(6, 4), dpi=DPI)
        FigureCanvasAgg(figure)
        on(figure.add_axes((0.13, 0.14, 0.83, 0.76)))
        atomic(path, lambda file: figure.savefig(file, bbox_inches="tight", pad_inches=0.08))
    return path


def intervals(
    axes: Axes, labels: Sequence[str], points: Mapping[str, Sequence[Point]], values: Mapping[str, Sequence[np.ndarray]]
) -> None:
    """Draw each group's mean with its interval, a panel for each measure, every run as a faint dot.

    Parameters
    ----------
    axes : Axes
    labels : sequence of str
        The groups, the first at the top.
    points : mapping of str to sequence of Point
        By measure, and by group.
    values : mapping of str to sequence of ndarray
        Likewise, of the runs.
    """
    figure, names = axes.figure, distinct(labels, 30)
    axes.remove()
    height, width = max(1.1, 0.24 * len(labels)), 2.3
    left = 0.3 + 0.062 * max(map(len, names))
    whole = left + len(points) * (width + 0.25), height + 0.85
    figure.set_size_inches(*whole)
    for place, (measure, own) in enumerate(points.items()):
        start = left + place * (width + 0.25)
        panel = figure.add_axes((start / whole[0], 0.4 / whole[1], width / whole[0], height / whole[1]))
        for row, (point, runs) in enumerate(zip(own, values[measure], strict=True)):
            panel.plot(runs, np.full(len(runs), row), ".", color=GREY, markersize=3, zorder=1)
            if math.isfinite(point.half):
                panel.plot([point.mean - point.half, point.mean + point.half], [row, row], color=BLUE, zorder=2)
            panel.plot([point.mean], [row], "o", color=BLUE, markersize=4, zorder=3)
        panel.set_ylim(len(labels) - 0.5, -0.5)
        panel.set_yticks(range(len(labels)), names if place == 0 else [""] * len(labels))
        panel.tick_params(axis="y", length=0)
        panel.set_title(measure, fontsize=8.5)
        panel.grid(axis="x", color="0.92", linewidth=0.6)
        panel.set_axisbelow(True)
        from matplotlib.ticker import MaxNLocator

        panel.xaxis.set_major_locator(MaxNLocator(4))


def critical_difference(axes: Axes, labels: Sequence[str], ranks: Sequence[float], critical: float, title: str) -> None:
    """Draw mean ranks on a line, groups joined that are no further apart than the critical difference (Demšar 2006).

    Parameters
    ----------
    axes : Axes
    labels : sequence of str
    ranks : sequence of float
        Mean ranks, 1 the best.
    critical : float
    title : str
    """
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    names, n = distinct(labels, 30), len(ranks)
    cliques = _cliques([ranks[i] for i in order], critical)
    half = math.ceil(n / 2)
    top = 0.55 + 0.16 * len(cliques)
    resize(axes, 5.2, 0.3 * (top + half * 0.75) + 0.8)
    axes.set_axis_off()
    span = max(n - 1, 1)
    axes.set_xlim(1 - 0.55 * span, n + 0.55 * span)
    axes.set_ylim(-(top + half * 0.75), 1.5)
    axes.plot([1, n], [0, 0], color="black", linewidth=1, clip_on=False)
    for rank in range(1, n + 1):
        axes.plot([rank, rank], [0, 0.14], color="black", linewidth=0.8)
        axes.text(rank, 0.22, str(rank), ha="center", va="bottom", fontsize=7)
    wide = min(critical, span)
    axes.plot([1, 1 + wide], [1.0, 1.0], color="black", linewidth=1.4)
    more = "" if critical <= span else ", wider than the scale"
    axes.text(1, 1.12, f"critical difference {critical:.2f}{more}", ha="left", va="bottom", fontsize=7)
    for place, i in enumerate(order):
        left = place < half
        row = place if left else n - 1 - place
        y, edge = -(top + 0.75 * row), 1 - 0.06 * span if left else n + 0.06 * span
        axes.plot([ranks[i], ranks[i], edge], [0, y, y], color=GREY, linewidth=0.8)
        text, side = f"{names[i]} ({ranks[i]:.2f})", "right" if left else "left"
        axes.text(edge + (-0.02 if left else 0.02) * span, y, text, ha=side, va="center", fontsize=7.5)
    for row, (first, last) in enumerate(cliques):
        y, pad = -(0.3 + 0.16 * row), 0.02 * span
        axes.plot([ranks[order[first]] - pad, ranks[order[last]] + pad], [y, y], color=BLUE, linewidth=2.4)
    axes.set_title(title)


def _cliques(ranks: Sequence[float], critical: float) -> list[tuple[int, int]]:
    """Return the longest stretches of sorted ranks in which none are further apart than the critical difference."""
    found: list[tuple[int, int]] = []
    for first in range(len(ranks)):
        last = max(i for i in range(first, len(ranks)) if ranks[i] - ranks[first] <= critical)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def weights(
    axes: Axes,
    tasks: Sequence[str],
    groups: Mapping[str, Mapping[str, tuple[np.ndarray, np.ndarray]]],
    order: Sequence[str],
) -> None:
    """Draw the balancers' weights over time, a panel for each task, a line for each group: the mean over its runs.

    Parameters
    ----------
    axes : Axes
    tasks : sequence of str
    groups : mapping of str to mapping of str to (ndarray, ndarray)
        By group and task: steps, and weights of shape (runs, steps).
    order : sequence of str
        All groups, also those without weights: each has one colour in all figures.
    """
    each = panels(axes, tasks, "Weight per task, mean and range over runs", "step")
    handles = []
    for task, panel in zip(tasks, each, strict=True):
        panel.axhline(1, color=GREY, linewidth=0.7, linestyle=":")
        for label, own in groups.items():
            steps, values = own[task]
            place = order.index(label)
            color = PALETTE[place % len(PALETTE)]
            style = ("-", "--", "-.", ":")[place // len(PALETTE) % 4]
            line = panel.plot(steps, values.mean(axis=0), style, color=color, linewidth=1.1)[0]
            panel.fill_between(steps, values.min(axis=0), values.max(axis=0), color=color, alpha=0.15, linewidth=0)
            if panel is each[0]:
                handles.append(line)
        few_ticks(panel)
    names = list(groups)
    if len(names) <= 6:
        legend_above(each[0], handles, names)
    else:
        legend(each[-1], handles, names)


def pareto(
    axes: Axes, labels: Sequence[str], first: Sequence[np.ndarray], second: Sequence[np.ndarray],
    names: tuple[str, str], signs: tuple[int, int],
) -> None:  # fmt: skip
    """Draw two tasks' metrics against each other: a dot for each run, a larger one for each group's mean.

    A line joins the means that no other group's beats in both tasks.

    Parameters
    ----------
    axes : Axes
    labels : sequence of str
    first, second : sequence of ndarray
        The runs' metrics of the two tasks, by group.
    names : tuple of str
        Of the metrics.
    signs : tuple of int
        1 if more is better, else −1.
    """
    resize(axes, 3.6, 3.2)
    handles, means = [], [(float(x.mean()), float(y.mean())) for x, y in zip(first, second, strict=True)]
    front = sorted(
        mean for mean in means
        if not any(signs[0] * (x - mean[0]) >= 0 and signs[1] * (y - mean[1]) >= 0 and (x, y) != mean for x, y in means)
    )  # fmt: skip
    if len(front) > 1:
        axes.plot(*zip(*front, strict=True), color=GREY, linewidth=0.8, zorder=1)
    for place, (mean, x, y) in enumerate(zip(means, first, second, strict=True)):
        color, mark = PALETTE[place % len(PALETTE)], MARKS[place // len(PALETTE) % len(MARKS)]
        axes.plot(x, y, mark, color=color, markersize=3, alpha=0.35, markeredgewidth=0)
        handles += axes.plot([mean[0]], [mean[1]], mark, color=color, markersize=7, zorder=3)
    better = ["less" if sign < 0 else "more" for sign in signs]
    axes.set(xlabel=f"{names[0]} ({better[0]} is better)", ylabel=f"{names[1]} ({better[1]} is better)")
    axes.set_title("Two tasks: runs, and the groups' means")
    legend(axes, handles, labels)
