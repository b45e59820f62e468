"""The penalties over the epochs."""

from __future__ import annotations

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Axes, Course, RunFigure, legend


@component("figure", "penalty")
class Penalty(RunFigure):
    """The penalties added to the losses, where a regulariser or the sharing scheme has any."""

    def suits(self, course: Course) -> bool:
        """Whether there is any."""
        return bool(_columns(course))

    def draw(self, axes: Axes, course: Course) -> None:
        """Draw a line per penalty."""
        columns = _columns(course)
        for column in columns:
            axes.plot(course.history["epoch"], course.history[column], label=column.removeprefix("penalty_"))
        axes.locator_params(axis="x", integer=True)
        axes.set(xlabel="epoch", ylabel="penalty", title="Penalties added to the losses, at the end of each epoch")
        legend(axes, len(columns))


def _columns(course: Course) -> list[str]:
    return [column for column in course.history if column.startswith("penalty_")]
