"""The contract between the training loop and what keeps its state: told between steps and between epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Keeper:
    """Keeps the state of a training, or breaks it off; this one does neither.

    It is called at the only places where a training may be broken off: its state is whole there.
    """

    def watch(self, states: Callable[[], list[dict[str, Any]]]) -> None:
        """Called before the training: what returns the state of each network that is trained, whenever it is asked."""

    def after_step(self, steps: int) -> None:
        """Called after a step of the optimizer, but not after the last one of a training that was stopped."""

    def after_epoch(self) -> None:
        """Called when an epoch has ended."""

    def after_training(self) -> None:
        """Called when all epochs are done or the training was stopped, before callbacks are told of the end."""
