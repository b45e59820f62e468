"""Pruning: a trial whose validation score lies below the median of others at the same epoch is broken off.

The median stopping rule (Golovin et al. 2017, https://doi.org/10.1145/3097983.3098043, section 3.2.2), as Optuna's
MedianPruner has it: the best score of the trial so far against the scores of the trials that are done.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli.runs.forms import Form
from mtl_cli.studies.journal import NAME, open_storage
from mtl_cli.training.callbacks.base import Callback, Epoch, TrainerState
from mtl_cli.training.trial import Pruned, Trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import JournalStorage

STARTUP = 5
"""Trials that are done before one is pruned."""
FIRST, WARM_UP = 3, 0.1
"""Epochs that a trial has in any case, and what share of its epochs."""
FEWEST = 3
"""Trials with a score at an epoch, from which its median is taken."""
EVERY = 32
"""Epochs up to which each is reported; then every second up to twice as many, every fourth, and so on."""


@dataclass(frozen=True)
class TrialOf(Trial):
    """A trial of a search, from wherever its journal can be reached.

    Parameters
    ----------
    journal : Path
        The file.
    number : int
        The trial's.
    prune : bool
        Whether it may be broken off.
    """

    journal: Path
    number: int
    prune: bool

    def watch(self) -> Callback:
        """Return what reports the validation score, and breaks the training off."""
        return Watch(self.journal, self.number) if self.prune else Callback()


class Watch(Callback):
    """Reports the score on the validation rows to the journal, and raises ``Pruned`` where it is too low.

    Parameters
    ----------
    journal : Path
    number : int
        The trial's.
    """

    def __init__(self, journal: Path, number: int) -> None:
        self._journal, self._number = journal, number
        self._reported: dict[int, float] = {}

    def on_start(self, trainer: TrainerState) -> None:
        """Open the journal."""
        import optuna

        self._storage: JournalStorage = open_storage(self._journal)
        self._study: Study = optuna.load_study(study_name=NAME, storage=self._storage)

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        """Report, and compare."""
        score = epoch.score
        if score is None or math.isnan(score) or not is_due(trainer.epoch):
            return
        trial = self._study.get_trials(deepcopy=True)[self._number]
        self._storage.set_trial_intermediate_value(trial._trial_id, trainer.epoch, score)
        self._reported[trainer.epoch] = score
        if trainer.epoch <= max(FIRST, WARM_UP * trainer.epochs):
            return
        from optuna.pruners import MedianPruner

        trial.intermediate_values = dict(self._reported)  # not what a process that was killed reported of later epochs
        if MedianPruner(STARTUP, n_min_trials=FEWEST).prune(self._study, trial):
            best = max(self._reported.values())
            raise Pruned(f"after epoch {trainer.epoch}, its best score {best:.4f} is below the median of others")

    def state_dict(self) -> dict[str, Any]:
        """Return what was reported."""
        return {"reported": {str(epoch): score for epoch, score in self._reported.items()}}

    def form(self, trainer: TrainerState) -> Form:
        """Return what any such state is like."""
        return {"reported": {...: 0.0}}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self._reported = {int(epoch): score for epoch, score in saved["reported"].items()}


def is_due(epoch: int) -> bool:
    """Whether an epoch is reported: the same epochs for all trials, so that they can be compared."""
    return epoch % (1 << max(0, (epoch - 1).bit_length() - EVERY.bit_length() + 1)) == 0
