"""How often each count came, against how often the predicted distributions expect it."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import BLUE, GREY, VERMILION, short

MOST = 40
"""The counts shown; larger ones are one bar."""
MOST_ROWS = 20_000


@component("figure", "counts")
class Rootogram(TaskFigure):
    """The hanging rootogram of the test rows (Tukey 1972; Kleiber & Zeileis 2016, doi 10.1080/00031305.2016.1173590).

    Bars of the square root of how often a count came hang from that of how often it is expected: where one does not
    reach 0 the count came too rarely, where it goes below, too often.
    """

    stem: ClassVar[str] = "counts"

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw a bar per count, and the line that they hang from."""
        task: Any = answers.task
        truth, outputs = answers.values.astype(int), answers.outputs
        if len(truth) > MOST_ROWS:
            chosen = np.sort(np.random.default_rng(0).choice(len(truth), MOST_ROWS, replace=False))
            truth, outputs = truth[chosen], outputs[chosen]
        last = int(min(truth.max() + 1, MOST))
        counts = np.arange(last)
        expected = task.probabilities_of(outputs, counts).sum(0)
        expected = np.append(expected, max(len(truth) - expected.sum(), 0.0))
        observed = np.bincount(truth.clip(max=last), minlength=last + 1)
        line, bars, places = np.sqrt(expected), np.sqrt(observed), np.arange(last + 1)
        axes.bar(places, -bars, bottom=line, width=0.8, color=BLUE, alpha=0.6, label="came")
        axes.plot(places, line, "o-", color=VERMILION, ms=3, linewidth=1, label="expected")
        axes.axhline(0, color=GREY, linewidth=0.8)
        labels = [str(count) for count in counts] + [f"{last} +"]
        step = max(1, len(labels) // 10)
        axes.set_xticks([*places[:-1:step], places[-1]], [*labels[:-1:step], labels[-1]])
        title = (
            f"{short(answers.task.name, 40)}: counts that came, hung from those expected, {short(answers.where, 40)}"
        )
        axes.set(xlabel="count", ylabel="√ rows", title=title)
        axes.legend(frameon=False, fontsize=8)
