"""Test images that a task gets most wrong."""

from __future__ import annotations

from typing import Any, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.reports.figures.base import Answers, Axes, TaskFigure
from mtl_cli.reports.figures.layout import VERMILION

COLUMNS, ROWS = 8, 4
GAP = 0.35
"""The room for a line of text below an image, as a share of its height."""


@component("figure", "images")
class WorstImages(TaskFigure):
    """The test images of largest loss, each with its prediction, and its label in brackets."""

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
            extent = (left + 0.04, left + 0.96, bottom + 0.04, bottom + 0.96)
            axes.imshow(pixels / top, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="equal")
            color = VERMILION if guess != true else "black"
            text = f"{_short(guess)} ({_short(true)})"
            axes.text(left + 0.5, bottom, text, ha="center", va="top", fontsize=6, color=color)
        axes.set(
            xlim=(0, COLUMNS), ylim=(-(ROWS - 1) * (1 + GAP) - GAP, 1),
            title=f"{task.name}: the images of largest loss, {answers.where}, predicted (true)",
        )  # fmt: skip
        axes.set_axis_off()


def _short(value: Any) -> str:
    import numpy as np

    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)[:10]
