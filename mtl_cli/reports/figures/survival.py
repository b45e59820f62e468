"""Curves of the share left without the event: as predicted, and as it came."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import BLUE, GREY, VERMILION, short
from mtl_cli.tasks.survival import EVENT, TIME, kaplan_meier

GROUPS = ("low", "middle", "high")
COLORS = (BLUE, GREY, VERMILION)


@component("figure", "survival")
class SurvivalCurves(TaskFigure):
    """Kaplan–Meier curves of the test rows by thirds of predicted risk, with each third's mean predicted curve."""

    stem: ClassVar[str] = "survival"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a step function and a dashed line for each third, with its rows and events."""
        import torch

        task: Any = answers.task
        time, event = answers.values[:, TIME].astype("float64") * task.unit, answers.values[:, EVENT] > 0.5
        risk = task.risk(torch.from_numpy(answers.outputs)).numpy()
        thirds = (np.argsort(np.argsort(risk, kind="stable")) * len(GROUPS)) // max(len(risk), 1)
        last = max(float(time.max()), task.cuts[-1] * task.unit)
        at = np.linspace(0, last, 200)
        for number, (group, color) in enumerate(zip(GROUPS, COLORS, strict=True)):
            rows = thirds == number
            if not rows.any():
                continue
            found = kaplan_meier(time[rows], event[rows])
            end = float(time[rows].max())
            label = f"{group} risk: {int(rows.sum()):,} rows, {int(event[rows].sum()):,} events"
            steps = [0.0, *found.times, end], [1.0, *found.values, found.values[-1] if found.values else 1.0]
            axes.step(*steps, where="post", color=color, linewidth=1.4, label=label)
            axes.plot(at, task.curves(answers.outputs[rows], at).mean(0), "--", color=color, linewidth=1)
        axes.plot([], [], "--", color="black", linewidth=1, label="predicted, mean of the third")
        title = f"{short(task.name, 40)}: share left by thirds of predicted risk, {short(answers.where, 40)}"
        axes.set(xlabel="time", ylabel="share without the event", title=title, ylim=(0, 1.02), xlim=(0, last))
        axes.legend(frameon=False, fontsize=8)
