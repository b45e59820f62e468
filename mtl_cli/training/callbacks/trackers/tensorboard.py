"""TensorBoard: the history, the balancer's weights and the figures of a run as event files in its folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.training.callbacks.base import Callback, CallbackConfig, Epoch, RunInfo, TrainerState
from mtl_cli.training.callbacks.trackers.logged import config_of, figures_of, installed, metrics_of, model_of, numbers

FOLDER = "tensorboard"
"""In the run's folder; each of several members has a folder in it."""


@component("callback", "tensorboard")
@dataclass(frozen=True, kw_only=True)
class TensorBoardConfig(CallbackConfig):
    """Events for ``tensorboard --logdir``, all of them over the steps of the optimizer."""

    watches: ClassVar[bool] = True

    def check(self, where: str) -> Iterator[Problem]:
        """Yield a problem if TensorBoard is not installed."""
        return installed(where, "tensorboard", "tensorboard")

    def build(self, run: RunInfo) -> TensorBoard:
        """Return the callback of a run, or of one of its members."""
        return TensorBoard(run.folder / FOLDER / ("" if run.member is None else f"member_{run.member}"))

    def finish(self, run: RunInfo) -> None:
        """Write the config, the metrics and the figures, and which model they are of."""
        with _writer(run.folder / FOLDER) as writer:
            writer.add_text("config", f"```yaml\n{config_of(run.folder)}\n```")
            rows = "\n".join(f"| {name} | {value:.6g} |" for name, value in metrics_of(run.folder).items())
            writer.add_text("metrics", f"| metric | value |\n| --- | --- |\n{rows}")
            model = model_of(run.folder)
            writer.add_text("model", f"{model.name}, SHA-256 {hashlib.sha256(model.read_bytes()).hexdigest()}")
            for path in figures_of(run.folder):
                if path.suffix == ".png":
                    writer.add_image(f"plots/{path.stem}", _pixels(path), dataformats="HWC")


class TensorBoard(Callback):
    """Writes an epoch's numbers when it ends.

    Parameters
    ----------
    folder : Path
        Events of a training that was resumed are added; those after its checkpoint are no longer shown.
    """

    watches = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._events: Any = None

    def on_start(self, trainer: TrainerState) -> None:
        """Open the event file."""
        self._events = _writer(self._folder, trainer.steps)

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Write the epoch's row of the history, and the rows of the weights."""
        tasks = list(trainer.step.tasks)
        for row, step in [(epoch.history, trainer.steps), *((row, row["step"]) for row in epoch.balance)]:
            for name, value in numbers(row, tasks).items():
                self._events.add_scalar(name, value, step)
        self._events.add_scalar("epoch", trainer.epoch, trainer.steps)
        self._events.flush()

    def on_stop(self, trainer: TrainerState) -> None:
        """Close the event file."""
        self._events.close()


def _writer(folder: Path, steps: int = 0) -> Any:
    """Open an event file; what was written after so many steps is told to be gone."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=steps + 1 if steps else None)


def _pixels(path: Path) -> Any:
    """Return an image as an array of shape (height, width, 3)."""
    import numpy as np
    from PIL import Image

    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
