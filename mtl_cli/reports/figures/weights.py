"""The balancer's weights over the steps."""

from __future__ import annotations

import math

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Axes, Course, RunFigure
from mtl_cli.reports.figures.layout import (
    BLUE,
    GREY,
    MOST_PANELS,
    PALETTE,
    few_ticks,
    legend,
    legend_above,
    panels,
    resize,
    scale_of,
)
from mtl_cli.reports.figures.losses import FAINT


@component("figure", "weights")
class Weights(RunFigure):
    """The balancer's weight per task, in the steps that were logged, if it ever changed."""

    def suits(self, course: Course) -> bool:
        """Whether any step was logged, and the weights are not the same in all of them."""
        every = course.members or (course,)
        return any(len(set(one.weights[f"weight_{name}"])) > 1 for one in every if one.weights for name in course.tasks)

    def draw(self, axes: Axes, course: Course) -> None:
        """Draw a line per task; of many tasks a panel each, with one scale; a faint one for each member."""
        every = _every(course)
        scale = scale_of(every)
        if len(course.tasks) <= len(PALETTE):
            resize(axes, 4.6, 3.0)
            lines = [_line(axes, course, name, color) for name, color in zip(course.tasks, PALETTE, strict=False)]
            _limit(axes, every, scale)
            axes.set(xlabel="step", ylabel="weight", title=f"Weight per task{_of_members(course)}")
            few_ticks(axes, 6)
            legend(axes, lines, course.tasks)
            return
        shown = _shown(course)
        part = "" if len(shown) == len(course.tasks) else f", the {len(shown)} of {len(course.tasks)} that change most"
        each = panels(axes, shown, f"Weight per task{part}{_of_members(course)}", "step")
        for name, panel in zip(shown, each, strict=True):
            even = panel.axhline(1, color=GREY, linewidth=0.8, linestyle=":")
            line = _line(panel, course, name, BLUE)
            _limit(panel, every, scale)
            few_ticks(panel)
        legend_above(each[0], [line, even], ["weight", "equal weights"])


def _every(course: Course) -> list[float]:
    """Return all weights that are drawn."""
    columns = [one.weights[f"weight_{name}"] for one in (*course.members, course) for name in course.tasks]
    return [value for column in columns for value in column if math.isfinite(value)]


def _line(axes: Axes, course: Course, name: str, color: str) -> object:
    """Draw the course of a task's weight, and return the line of the run as a whole."""
    column = f"weight_{name}"
    for one in course.members:
        axes.plot(one.weights["step"], one.weights[column], color=color, alpha=FAINT, linewidth=0.7)
    line: object = axes.plot(course.weights["step"], course.weights[column], color=color)[0]
    return line


def _limit(axes: Axes, every: list[float], scale: str) -> None:
    axes.set_yscale(scale)
    axes.set_ylim(min(every) / 1.2 if scale == "log" else min(0, *every), max(every) * 1.08)


def _of_members(course: Course) -> str:
    return f", mean of {len(course.members)} members" if course.members else ""


def _shown(course: Course) -> list[str]:
    """Return the tasks that there is room for: those whose weights change most."""
    if len(course.tasks) <= MOST_PANELS:
        return course.tasks

    def change(name: str) -> float:
        values = course.weights[f"weight_{name}"]
        return max(values) - min(values)

    most = set(sorted(course.tasks, key=change, reverse=True)[:MOST_PANELS])
    return [name for name in course.tasks if name in most]
