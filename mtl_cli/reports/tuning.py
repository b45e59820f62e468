"""Figures of a search: how much each parameter mattered, and the front of two tasks."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mtl_cli.reports.figures.layout import BLUE, GREY, PALETTE, Axes, distinct, resize

NAMES = 34
"""Characters of a parameter's name."""


def bars(axes: Axes, groups: Mapping[str, Mapping[str, float]]) -> None:
    """Draw each parameter's importance as a bar, one for each task where there are several.

    Parameters
    ----------
    axes : Axes
    groups : mapping of str to mapping of str to float
        By task, or ``score`` alone, and by parameter.
    """
    keys = list(next(iter(groups.values())))
    names, height = distinct(keys, NAMES), 0.8 / len(groups)
    left = 0.062 * max(map(len, names))
    resize(axes, 3.2, max(0.7, 0.24 * len(keys) * max(1, len(groups) / 2)))
    box, figure = axes.get_position(), axes.figure
    width, tall = figure.get_size_inches()
    figure.set_size_inches(width + left, tall)
    axes.set_position(
        ((box.x0 * width + left) / (width + left), box.y0, box.width * width / (width + left), box.height)
    )
    for number, (group, own) in enumerate(groups.items()):
        places = [row - 0.4 + height * (number + 0.5) for row in range(len(keys))]
        values = [own.get(key, 0.0) for key in keys]
        axes.barh(places, values, height * 0.9, color=PALETTE[number % len(PALETTE)], label=group)
    axes.set_yticks(range(len(keys)), names)
    axes.set_ylim(len(keys) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("importance, 1 in all")
    axes.set_title("What decides whether a trial is among the best")
    if len(groups) > 1:
        axes.legend(loc="lower right")


def front(
    axes: Axes, points: Sequence[tuple[int, float, float]], front: Collection[int], names: tuple[str, str]
) -> None:
    """Draw two tasks' skills against each other: a dot for each trial, those of the front with their numbers.

    Parameters
    ----------
    axes : Axes
    points : sequence of (int, float, float)
        Trials, and their skills in the two tasks.
    front : collection of int
        The trials that no other beats in every task.
    names : tuple of str
        Of the tasks.
    """
    resize(axes, 3.8, 3.2)
    others = [point for point in points if point[0] not in front]
    best = sorted((point for point in points if point[0] in front), key=lambda point: point[1])
    axes.plot([x for _, x, _ in others], [y for _, _, y in others], "o", color=GREY, markersize=3.5, label="trials")
    axes.plot(
        [x for _, x, _ in best], [y for _, _, y in best], "o-", color=BLUE, markersize=5, linewidth=0.9, label="front"
    )
    for number, x, y in best:
        axes.annotate(str(number), (x, y), textcoords="offset points", xytext=(4, 4), fontsize=6.5)
    axes.set(xlabel=f"skill of {names[0]}", ylabel=f"skill of {names[1]}")
    axes.set_title("Trials on the validation rows")
    axes.legend(loc="best")
