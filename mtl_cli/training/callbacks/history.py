"""The CSV files of a run that grow as it is trained: its history, and the balancer's weights."""

from __future__ import annotations

from pathlib import Path

from mtl_cli.runs.history import CSVLog
from mtl_cli.training.callbacks.base import Callback, Epoch, TrainerState


class History(Callback):
    """Writes a row of the history per epoch, and the rows of the weights file.

    Parameters
    ----------
    history, weights : Path
        The two files.
    member : int, optional
        The number of a run's member, for a first column; the files are those of all members.
    """

    def __init__(self, history: Path, weights: Path, member: int | None = None) -> None:
        self._paths, self._member = (history, weights), member
        self._logs: list[CSVLog] = []

    def on_start(self, trainer: TrainerState) -> None:
        """Open the files."""
        self._logs = [CSVLog(path) for path in self._paths]

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Write the epoch's rows."""
        history, weights = self._logs
        first = {} if self._member is None else {"member": self._member}
        history.append(first | epoch.history)
        for row in epoch.balance:
            weights.append(first | row)

    def on_stop(self, trainer: TrainerState) -> None:
        """Close the files."""
        for log in self._logs:
            log.close()
