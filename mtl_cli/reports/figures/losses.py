"""The tasks' losses over the epochs."""

from __future__ import annotations

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Axes, Course, RunFigure, legend


@component("figure", "losses")
class Losses(RunFigure):
    """Training and validation loss per task, and the epoch whose weights were kept."""

    def draw(self, axes: Axes, course: Course) -> None:
        """Draw a line per task, and a dashed one for its validation rows."""
        history, tasks = course.history, course.tasks
        for i, name in enumerate(tasks):
            axes.plot(history["epoch"], history[f"loss_{name}"], color=f"C{i % 10}", label=f"{name}, training")
            if f"val_loss_{name}" in history:
                validation = history[f"val_loss_{name}"]
                axes.plot(history["epoch"], validation, color=f"C{i % 10}", linestyle="--", label=f"{name}, validation")
        if "val_score" in history:
            kept = f"epoch {course.best}, whose weights were kept"
            axes.axvline(course.best, color="0.6", linewidth=1, linestyle=":", label=kept)
        axes.locator_params(axis="x", integer=True)
        axes.set(xlabel="epoch", ylabel="loss", title="Loss per task")
        legend(axes, 2 * len(tasks) + 1)
