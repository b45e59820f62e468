"""The balancer's weights over the steps."""

from __future__ import annotations

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Axes, Course, RunFigure, legend


@component("figure", "weights")
class Weights(RunFigure):
    """The balancer's weight per task, in the steps that were logged."""

    def suits(self, course: Course) -> bool:
        """Whether any step was logged."""
        return bool(course.weights)

    def draw(self, axes: Axes, course: Course) -> None:
        """Draw a line per task."""
        for i, name in enumerate(course.tasks):
            axes.plot(course.weights["step"], course.weights[f"weight_{name}"], color=f"C{i % 10}", label=name)
        axes.locator_params(axis="x", integer=True)
        axes.set(xlabel="step", ylabel="weight", title="Weight per task", ylim=(0, None))
        legend(axes, len(course.tasks))
