"""Test images that a task gets most wrong."""

from __future__ import annotations

from typing import Any, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import VERMILION

COLUMNS, ROWS = 8, 4
GAP = 0.4
"""The room for two lines of text below an image, as a share of its side."""
ROOM = 13
"""Characters of a line of text."""


@component("figure", "images")
class WorstImages(TaskFigure):
    """The test images of largest loss, each with its prediction, and its label in brackets below it.

    Of sets of labels, what is predicted and not so (+), and what is so and not predicted (−).
    """

    stem: ClassVar[str] = "images"

    def suits(self, answers: Answers) -> bool:
        """Whether the rows are images."""
        import torch

        first = answers.part.inputs.take(slice(0, 1))
        return isinstance(first, torch.Tensor) and first.dim() == 4

    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw the images in the rows' order."""
        import numpy as np
        import torch

        task, output, values = answers.task, answers.outputs, answers.values
        losses = task.loss(torch.from_numpy(output), torch.from_numpy(values)).numpy()
        worst = np.sort(np.argsort(-losses, kind="stable")[: COLUMNS * ROWS])
        images = answers.part.inputs.select(np.flatnonzero(answers.mask)[worst]).take(slice(None))
        assert isinstance(images, torch.Tensor)
        top = max(int(images.max()), 1)
        for place, (image, guess, true) in enumerate(
            zip(images, answers.predicted[worst], answers.labels[worst], strict=True)
        ):
            left, bottom = place % COLUMNS, -(place // COLUMNS) * (1 + GAP)
            pixels = image.movedim(0, -1).numpy()[..., :3] if len(image) >= 3 else image[0].numpy()
            wide, tall = (0.92 * side / max(pixels.shape[:2]) / 2 for side in pixels.shape[1::-1])
            extent = (left + 0.5 - wide, left + 0.5 + wide, bottom + 0.5 - tall, bottom + 0.5 + tall)
            axes.imshow(pixels / top, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="equal")
            color = {"color": VERMILION} if guess != true else {}
            text = _differences(task, guess, true) if task.learns == "labels" else f"{_short(guess)}\n({_short(true)})"
            axes.text(left + 0.5, bottom + 0.5 - tall, text, ha="center", va="top", fontsize=5.5, **color)
        said = "wrongly predicted (+) and missed (−)" if task.learns == "labels" else "predicted (true)"
        axes.set(
            xlim=(0, COLUMNS), ylim=(-(ROWS - 1) * (1 + GAP) - GAP, 1),
            title=f"{task.name}: the images of largest loss, {answers.where}, {said}",
        )  # fmt: skip
        axes.set_axis_off()


def _short(value: Any) -> str:
    import numpy as np

    text = f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)
    return text if len(text) <= ROOM else f"{text[: ROOM - 1]}…"


def _differences(task: Any, guess: str, true: str) -> str:
    """Return the labels that are predicted and not so, and those that are so and not predicted, a line each."""
    predicted, carried = set(task.split(guess)), set(task.split(true))
    lines = [(sign, sorted(labels)) for sign, labels in (("+", predicted - carried), ("−", carried - predicted))]
    return "\n".join(_short(sign + " ".join(labels)) for sign, labels in lines if labels)
