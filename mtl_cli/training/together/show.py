"""Showing how far members are that are trained at once: one display for all of them."""

from __future__ import annotations

from mtl_cli.training.callbacks.base import Callback, Epoch, TrainerState
from mtl_cli.training.callbacks.progress import ShowProgress


class ShowFirst(Callback):
    """Shows the first of the members that are still trained. Each member has this same callback.

    Parameters
    ----------
    show : ShowProgress
    """

    def __init__(self, show: ShowProgress) -> None:
        self._show = show
        self._going: list[TrainerState] = []

    def on_start(self, trainer: TrainerState) -> None:
        """Show that training begins, once."""
        if not self._going:
            self._show.on_start(trainer)
        self._going.append(trainer)

    def on_epoch_start(self, trainer: TrainerState) -> None:
        """Begin to count the seconds."""
        if trainer is self._going[0]:
            self._show.on_epoch_start(trainer)

    def on_step(self, trainer: TrainerState) -> None:
        """Show the share of the batches."""
        if trainer is self._going[0]:
            self._show.on_step(trainer)

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Show the epoch."""
        if trainer is self._going[0]:
            self._show.on_epoch_end(trainer, epoch)

    def on_stop(self, trainer: TrainerState) -> None:
        """Go on with the next member, or stop showing."""
        self._going = [other for other in self._going if other is not trainer]
        if not self._going:
            self._show.on_stop(trainer)
