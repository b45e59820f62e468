"""The tasks' losses over the epochs."""

from __future__ import annotations

import math

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Axes, Course, RunFigure
from mtl_cli.reports.figures.layout import (
    BLUE,
    GREY,
    MOST_PANELS,
    VERMILION,
    few_ticks,
    legend_above,
    panels,
    scale_of,
)

FAINT = 0.35
"""The opacity of a member's line behind that of the mean."""


@component("figure", "losses")
class Losses(RunFigure):
    """Training and validation loss per task, and the epoch whose weights were kept."""

    def draw(self, axes: Axes, course: Course) -> None:
        """Draw a panel per task; of several members a faint line each, and the mean as far as all were trained."""
        shown = shown_of(course)
        part = "" if len(shown) == len(course.tasks) else f", the {len(shown)} of {len(course.tasks)} largest"
        linear = any(f"linear_{name}" in course.history for name in course.tasks)
        beside = "; in validation, with linear models" if linear else ""
        each = panels(axes, shown, f"Loss per task{part}{beside}", "epoch")
        last = max(one.history["epoch"][-1] for one in course.members or (course,))
        for name, panel in zip(shown, each, strict=True):
            handles = self._draw_task(panel, course, name)
            panel.set_xlim(min(1, last - 1), last)
            few_ticks(panel)
        names = sorted(handles, key=lambda name: name.startswith("epoch"))
        legend_above(each[0], [handles[name] for name in names], names)

    def _draw_task(self, panel: Axes, course: Course, name: str) -> dict[str, object]:
        """Draw a task's lines, and return one of each sort by its name."""
        handles: dict[str, object] = {}
        drawn: list[float] = []
        several = bool(course.members)
        for one in (*course.members, course):
            faint = several and one is not course
            for column, sort, color, style in _lines(one, name):
                values = one.history[column]
                look = {"alpha": FAINT, "linewidth": 0.7} if faint else {}
                line = panel.plot(one.history["epoch"], values, color=color, linestyle=style, **look)[0]
                drawn += values
                if not faint:
                    handles[f"{sort}, mean of {len(course.members)} members" if several else sort] = line
            if one.best and "val_score" in one.history and (faint or not several):
                kept = panel.axvline(one.best, color=GREY, linewidth=0.8, linestyle=":")
                handles["epochs whose weights were kept" if several else "epoch whose weights were kept"] = kept
        panel.set_yscale(scale_of(drawn))
        return handles


def _lines(course: Course, name: str) -> list[tuple[str, str, str, str]]:
    """Return the columns of a task's losses, with what they are and how they are drawn."""
    found = [(f"loss_{name}", "training", BLUE, "-"), (f"val_loss_{name}", "validation", VERMILION, "--")]
    return [line for line in found if line[0] in course.history]


def shown_of(course: Course) -> list[str]:
    """Return the tasks that there is room for: those of the largest loss in the last epoch."""
    if len(course.tasks) <= MOST_PANELS:
        return course.tasks

    def last(name: str) -> float:
        value = course.history[_lines(course, name)[-1][0]][-1]
        return value if math.isfinite(value) else math.inf

    largest = set(sorted(course.tasks, key=last, reverse=True)[:MOST_PANELS])
    return [name for name in course.tasks if name in largest]
