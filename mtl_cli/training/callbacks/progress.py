"""Showing how far the training is."""

from __future__ import annotations

import time
from typing import Protocol

from mtl_cli.data.look import Look
from mtl_cli.training.callbacks.base import Callback, Epoch, TrainerState

SECONDS_BETWEEN_PARTS = 1.0


class Progress(Protocol):
    """What shows a run as it goes on."""

    def notice(self, line: str) -> None:
        """Show a line that the user should see."""

    def look(self, look: Look) -> None:
        """Show the first look at the data."""

    def start(
        self, epochs: int, tasks: list[str], device: str, parameters: int, rows: int, member: tuple[int, int] = (1, 1)
    ) -> None:
        """Show that training begins: of how many epochs at most, parameters and rows, and which member of how many."""

    def part(self, epoch: int, share: float) -> None:
        """Show what share of an epoch's batches is done; called about once a second in a long epoch."""

    def epoch(self, epoch: Epoch) -> None:
        """Show an epoch that has ended."""

    def stop(self) -> None:
        """Stop showing: training has ended, however it did."""


class ShowProgress(Callback):
    """Tells what shows the run how far the training is.

    Parameters
    ----------
    progress : Progress
    rows : int
        Training rows.
    member : tuple of int
        Which member of a run is trained, from 1, and how many it has; 0 if all are trained at once.
    """

    def __init__(self, progress: Progress, rows: int, member: tuple[int, int] = (1, 1)) -> None:
        self._progress, self._rows, self._member = progress, rows, member
        self._shown = 0.0

    def on_start(self, trainer: TrainerState) -> None:
        """Show that training begins."""
        parameters = sum(parameter.numel() for parameter in trainer.model.parameters())
        tasks, device = list(trainer.step.tasks), str(trainer.step.device)
        self._progress.start(trainer.epochs, tasks, device, parameters, self._rows, self._member)

    def on_epoch_start(self, trainer: TrainerState) -> None:
        """Begin to count the seconds."""
        self._shown = time.perf_counter()

    def on_step(self, trainer: TrainerState) -> None:
        """Show the share of the batches, if a second has passed since anything was shown."""
        now = time.perf_counter()
        if now - self._shown > SECONDS_BETWEEN_PARTS:
            self._shown = now
            self._progress.part(trainer.epoch, min(trainer.batch / trainer.batches, 1.0))

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Show the epoch."""
        self._progress.epoch(epoch)

    def on_stop(self, trainer: TrainerState) -> None:
        """Stop showing."""
        self._progress.stop()
