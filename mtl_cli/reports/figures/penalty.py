"""The penalties over the epochs."""

from __future__ import annotations

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Axes, Course, RunFigure
from mtl_cli.reports.figures.layout import PALETTE, few_ticks, legend, resize, scale_of


@component("figure", "penalty")
class Penalty(RunFigure):
    """The penalties added to the losses, where a regularizer or the sharing scheme has any."""

    def suits(self, course: Course) -> bool:
        """Whether there is any."""
        return bool(_columns(course))

    def draw(self, axes: Axes, course: Course) -> None:
        """Draw a line per penalty."""
        columns, epochs = _columns(course), course.history["epoch"]
        resize(axes, 4.6, 3.0)
        lines = []
        for i, column in enumerate(columns):
            style = ("-", "--", ":")[i // len(PALETTE) % 3]
            lines += axes.plot(epochs, course.history[column], color=PALETTE[i % len(PALETTE)], linestyle=style)
        axes.set_yscale(scale_of([value for column in columns for value in course.history[column]]))
        few_ticks(axes, 6)
        axes.set(xlabel="epoch", ylabel="penalty", title="Penalties added to the losses, at the end of each epoch")
        legend(axes, lines, [column.removeprefix("penalty_") for column in columns])


def _columns(course: Course) -> list[str]:
    return [column for column in course.history if column.startswith("penalty_")]
