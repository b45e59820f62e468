"""The journal of a search: its trials, written down by Optuna in one file that several processes and hosts may share.

What a trial tries depends on the trials before it, its number and the seed alone, not on what a process drew earlier: a
search that was killed goes on as if it had not been. A trial whose process is gone is taken over by another, with the
values that it had.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli import signals
from mtl_cli.config.domains import Integer, Real
from mtl_cli.config.errors import UserError
from mtl_cli.config.space import Space
from mtl_cli.runs.directory import STUDY
from mtl_cli.runs.lock import take_lock

if TYPE_CHECKING:
    from optuna import Study
    from optuna.samplers import BaseSampler
    from optuna.storages import JournalStorage
    from optuna.trial import FrozenTrial, Trial

JOURNAL, PROCESSES = "journal.log", "processes"
NAME = "mtl"
"""Of the study in its journal: there is one."""
GRACE = 15
"""Seconds after which the lock of the journal is taken from a process that was killed while it wrote."""
PATIENCE = 60.0
"""Seconds to wait for another process that claims a trial."""
OWNER, VALUES, ERROR = "process", "values", "error"
"""What is noted of a trial: the file of its process, what it tries, and what went wrong."""


def check_installed() -> None:
    """Raise UserError if Optuna is not installed."""
    try:
        found = importlib.util.find_spec("optuna")
    except ValueError:  # as where it is set to None
        found = None
    if found is None:
        raise UserError("optuna", "a search needs this package, which is not installed", "pip install 'mtl-cli[tune]'")


def open_storage(path: Path) -> JournalStorage:
    """Open a journal; its lock is a file made by ``O_EXCL``, which NFS has from version 3 on."""
    from optuna import logging
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    logging.set_verbosity(logging.ERROR)
    return JournalStorage(JournalFileBackend(str(path), JournalFileOpenLock(str(path), GRACE)))


def _mend(path: Path) -> None:
    """Take off a last line that a process did not write to its end."""
    from optuna.storages.journal import JournalFileOpenLock

    if not path.is_file() or path.read_bytes()[-1:] in (b"\n", b""):
        return
    lock = JournalFileOpenLock(str(path), GRACE)
    lock.acquire()
    try:
        content = path.read_bytes()
        os.truncate(path, content.rfind(b"\n") + 1)
    finally:
        lock.release()


@dataclass(frozen=True)
class Claimed:
    """A trial that is this process's to run.

    Parameters
    ----------
    number : int
    values : dict of str to str
        What it tries, by key.
    """

    number: int
    values: dict[str, str]


class Journal:
    """The trials of a search, as one of its processes sees and changes them.

    Parameters
    ----------
    folder : Path
        The study's.
    space : Space
    objectives : int
        Numbers that a trial is judged by, each the better the larger.
    sampler : str
        ``tpe`` or ``random``.
    seed : int
    """

    def __init__(self, folder: Path, space: Space, objectives: int, sampler: str, seed: int) -> None:
        import optuna
        from optuna.study import StudyDirection

        _mend(folder / JOURNAL)
        self.folder, self._space, self._sampler, self._seed = folder, space, sampler, seed
        self._storage = open_storage(folder / JOURNAL)
        with self._alone():  # or two processes would both make it
            self.study: Study = optuna.create_study(
                storage=self._storage,
                study_name=NAME,
                directions=[StudyDirection.MAXIMIZE] * objectives,
                load_if_exists=True,
            )
        if len(self.study.directions) != objectives:
            raise UserError("run_dir", f"{folder / JOURNAL} is of another search", "give another folder")
        (folder / PROCESSES).mkdir(exist_ok=True)
        self._owner = f"{platform.node()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._presence = (folder / PROCESSES / self._owner).open("w", encoding="utf-8")
        take_lock(self._presence)

    def close(self) -> None:
        """Leave the search: trials of this process that have not ended are others' to take over."""
        (self.folder / PROCESSES / self._owner).unlink(missing_ok=True)
        self._presence.close()

    @property
    def trials(self) -> list[FrozenTrial]:
        """The trials that have begun, by number."""
        from optuna.trial import TrialState

        return [trial for trial in self.study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]

    def claim(self, most: int | None) -> Claimed | None:
        """Take over a trial whose process is gone, or else begin one; None if there are ``most`` trials already."""
        with self._alone():
            trials = self.trials
            orphan = next((trial for trial in trials if not trial.state.is_finished() and self._is_free(trial)), None)
            if orphan is None and most is not None and len(trials) >= most:
                return None
            number = len(trials) if orphan is None else orphan.number
            self.study.sampler = self._sampler_of(number, 0)
            if orphan is None:
                if number == 0 and self._space.start:
                    self.study.enqueue_trial(dict(_internal(self._space)), skip_if_exists=True)
                trial = self.study.ask()
            else:
                from optuna.trial import Trial

                trial = Trial(self.study, orphan._trial_id)
            values = self._suggest(trial)
            trial.set_user_attr(VALUES, values)
            trial.set_user_attr(OWNER, self._owner)
            return Claimed(trial.number, values)

    def others(self) -> int:
        """Return how many trials other processes are at, or have left."""
        return sum(not trial.state.is_finished() for trial in self.trials)

    def tell(self, number: int, values: Sequence[float]) -> None:
        """Note that a trial is done."""
        self.study.tell(number, list(values), skip_if_finished=True)

    def tell_pruned(self, number: int, error: str | None = None) -> None:
        """Note that a trial was pruned; with an error, that its values cannot be trained with, as bad as can be."""
        from optuna.trial import TrialState

        self._note(number, error)
        self.study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)

    def tell_failed(self, number: int, error: str) -> None:
        """Note that a trial has failed in a way that says nothing of its values."""
        from optuna.trial import TrialState

        self._note(number, error)
        self.study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _note(self, number: int, error: str | None) -> None:
        trial = self.study.get_trials(deepcopy=False)[number]
        if error is not None and not trial.state.is_finished():
            self._storage.set_trial_user_attr(trial._trial_id, ERROR, error)

    def _suggest(self, trial: Trial) -> dict[str, str]:
        values: dict[str, str] = {}
        for place, one in enumerate(self._space.parameters):
            if not one.active(values):
                continue
            self.study.sampler = self._sampler_of(trial.number, place)
            domain = one.domain
            if isinstance(domain, Real):
                number = trial.suggest_float(one.name, domain.low, domain.high, log=domain.log, step=domain.step)
                values[one.name] = domain.text(number)
            elif isinstance(domain, Integer):
                whole = trial.suggest_int(one.name, domain.low, domain.high, log=domain.log, step=domain.step)
                values[one.name] = domain.text(whole)
            else:
                values[one.name] = trial.suggest_categorical(one.name, domain.options)
        return values

    def _sampler_of(self, number: int, place: int) -> BaseSampler:
        """Return a sampler whose chance is that of this trial's parameter, whichever process asks it.

        A process may end between two parameters; what is known of a trial then is not drawn again.
        """
        import numpy as np
        from optuna import samplers

        seed = int(np.random.SeedSequence([self._seed, number, place]).generate_state(1)[0])
        if self._sampler == "random":
            return samplers.RandomSampler(seed=seed)
        return samplers.TPESampler(seed=seed)

    def _is_free(self, trial: FrozenTrial) -> bool:
        """Whether nobody is at a trial that has not ended: its process's file is gone, or can be locked."""
        owner = trial.user_attrs.get(OWNER)
        if owner == self._owner:
            return False
        file = self.folder / PROCESSES / str(owner)
        if owner is None or not file.is_file():
            return True
        with file.open("a", encoding="utf-8") as presence:
            if not take_lock(presence):
                return False
            file.unlink(missing_ok=True)
        return True

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from claiming a trial meanwhile, and signals from cutting it short."""
        with signals.waiting(), (self.folder / STUDY).open("a", encoding="utf-8") as file:
            if not take_lock(file, PATIENCE):
                raise UserError("run_dir", f"another mtl holds the study {self.folder}", "wait for it, or stop it")
            yield


def values_of(trial: FrozenTrial) -> dict[str, str]:
    """Return what a trial tries, by key; nothing if its process was gone before it was said."""
    return dict(trial.user_attrs.get(VALUES, {}))


def error_of(trial: FrozenTrial) -> str | None:
    """Return what went wrong with a trial."""
    found: str | None = trial.user_attrs.get(ERROR)
    return found


def _internal(space: Space) -> Mapping[str, Any]:
    """Return the values that the first trial tries, as Optuna has them."""
    found: dict[str, Any] = {}
    for one in space.parameters:
        if one.name in space.start:
            text = space.start[one.name]
            domain = one.domain
            found[one.name] = (
                float(text) if isinstance(domain, Real) else int(text) if isinstance(domain, Integer) else text
            )
    return found
