"""Test images that a task gets most wrong, in one picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from mtl_cli.data.base import Part
from mtl_cli.tasks.task import Task

COLUMNS, ROWS = 8, 4
GAP = 0.35
"""The room for a line of text below an image, as a share of its height."""


def are_images(part: Part) -> bool:
    """Whether the rows are images."""
    first = part.inputs.take(slice(0, 1))
    return isinstance(first, torch.Tensor) and first.dim() == 4


def draw_worst_images(axes: Any, task: Task, part: Part, outputs: np.ndarray) -> None:
    """Draw the labelled images of largest loss, each with what was predicted, and in brackets what it is.

    Parameters
    ----------
    axes : Axes
    task : Task
        One whose rows have a label each.
    part : Part
        The test rows, n of them.
    outputs : ndarray of shape (n, outputs)
    """
    target = part.targets[task.name]
    rows = np.flatnonzero(target.mask)
    losses = task.loss(torch.from_numpy(outputs[rows]), torch.from_numpy(target.values[rows])).numpy()
    rows = np.sort(rows[np.argsort(-losses, kind="stable")[: COLUMNS * ROWS]])
    images = part.inputs.select(rows).take(slice(None))
    assert isinstance(images, torch.Tensor)
    predicted = task.decode(outputs[rows])[f"predicted_{task.name}"]
    top = max(int(images.max()), 1)
    for place, (image, guess, true) in enumerate(
        zip(images, predicted, part.labels[task.name].iloc[rows], strict=True)
    ):
        left, bottom = place % COLUMNS, -(place // COLUMNS) * (1 + GAP)
        pixels = image.movedim(0, -1).numpy()[..., :3] if len(image) >= 3 else image[0].numpy()
        extent = (left + 0.04, left + 0.96, bottom + 0.04, bottom + 0.96)
        axes.imshow(pixels / top, cmap="gray", vmin=0, vmax=1, extent=extent, aspect="equal")
        text = f"{_short(guess)} ({_short(true)})"
        axes.text(left + 0.5, bottom, text, ha="center", va="top", fontsize=6, color="C3" if guess != true else "black")
    axes.set(
        xlim=(0, COLUMNS), ylim=(-(ROWS - 1) * (1 + GAP) - GAP, 1),
        title=f"{task.name}: the test images of largest loss, predicted (true)",
    )  # fmt: skip
    axes.set_axis_off()


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float | np.floating) else str(value)[:10]
