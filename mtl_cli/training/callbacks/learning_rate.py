"""The learning-rate schedule."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from mtl_cli.runs.forms import Either, Form, Many
from mtl_cli.training.callbacks.base import Callback, Epoch, TrainerState


class LearningRate(Callback):
    """Moves the learning rate on at the end of each epoch.

    Parameters
    ----------
    advance : callable
        Takes the epoch's validation score, or None.
    """

    def __init__(self, advance: Callable[[float | None], None]) -> None:
        self._advance = advance
        self._scores: list[float | None] = []

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Move the learning rate on."""
        self._scores.append(epoch.score)
        self._advance(epoch.score)

    def state_dict(self) -> dict[str, Any]:
        """Return the scores so far: whatever the schedule, they are all that it depends on."""
        return {"scores": list(self._scores)}

    def form(self, trainer: TrainerState) -> Form:
        """Return what any such state is like."""
        return {"scores": Many(Either(None, 0.0))}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Move a fresh schedule on by the saved scores."""
        with warnings.catch_warnings():  # torch's schedules expect a step of the optimizer before each of theirs
            warnings.filterwarnings("ignore", "Detected call of")
            for score in saved["scores"]:
                self._scores.append(score)
                self._advance(score)
