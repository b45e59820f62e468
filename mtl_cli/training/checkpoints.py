"""When the state of a training is kept, what of it, and going on from it.

Members that are trained at once have one checkpoint; of those that are trained in turn each has its own, which stays as
it is when the next one begins.
"""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli import signals
from mtl_cli.config.errors import UserError
from mtl_cli.config.intervals import read_interval
from mtl_cli.data.base import Prepared
from mtl_cli.runs import directory
from mtl_cli.runs.checkpoint_file import load_checkpoint, save_checkpoint
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.forms import Either, check_form
from mtl_cli.runs.strangers import NotOurs
from mtl_cli.training.build import Member, Ready, Run
from mtl_cli.training.keeper import Keeper
from mtl_cli.training.trainer import Trainer

SHARE = 30
"""With ``every: epoch``, epochs are passed over until a checkpoint has cost less than this part of the time."""


class Checkpoints:
    """The checkpoints of a run: those that are there already, and those that it makes.

    Parameters
    ----------
    ready : Ready
    folder : RunDirectory
        The run's. A history that is longer than at the latest checkpoint is cut there, so that no row is there twice.
    """

    def __init__(self, ready: Ready, folder: RunDirectory) -> None:
        self._ready, self._folder = ready, folder
        self._files = {name: folder.path / name for name in (directory.HISTORY, ready.weights_name)}
        sizes = [load_checkpoint(path, lazy=True)["files"] for path in folder.checkpoints()]
        if any(self._files.keys() - each for each in sizes):
            raise UserError(str(folder.path), "has a checkpoint of other files", "it was changed; start the run anew")
        self.resumed = bool(sizes)
        for name, path in self._files.items():
            if path.exists():
                _cut(path, max((int(each[name]) for each in sizes), default=0))

    @cached_property
    def _data(self) -> str:
        return digest(self._ready.data)

    def of(self, members: Sequence[Member]) -> dict[str, Any] | None:
        """Return what was kept of members that are trained together; None if nothing was.

        Raises
        ------
        UserError
            If it is of other members or data.
        """
        path = self._folder.path / directory.checkpoint_name(members[0].number)
        if not path.exists():
            return None
        content = load_checkpoint(path, self._ready.device)
        if content["data"] != self._data:
            what = "is of other data: the rows or labels are not those that the run began with"
            raise UserError(str(path), what, "bring the file back as it was, or start the run anew")
        if [own["member"] for own in content["members"]] != [asdict(member) for member in members]:
            raise UserError(str(path), "is of other members of a run", "start the run anew")
        return content

    def keeper(self, members: Sequence[Member]) -> KeepOnDisk:
        """Return what keeps the state of members that are trained together."""
        path = self._folder.path / directory.checkpoint_name(members[0].number)
        settings, notice, data = self._ready.config.trainer.checkpoint, self._ready.progress.notice, self._data

        def save(states: Sequence[Mapping[str, Any]], finished: bool) -> None:
            of_members = [{"member": asdict(m), **state} for m, state in zip(members, states, strict=True)]
            content = {
                "config": self._ready.plain,
                "data": data,
                "members": of_members,
                "finished": finished,
                "files": {name: _size(file) for name, file in self._files.items()},
                "generators": generators(self._ready.device),
            }
            try:
                save_checkpoint(path, content)
            except OSError as error:
                notice(f"{path}: {error.strerror}; the run could not be resumed from here")

        return KeepOnDisk(settings.every, save)


class KeepOnDisk(Keeper):
    """Writes a checkpoint when it is due, and when a signal has come, which then ends the training.

    Parameters
    ----------
    every : str
        ``trainer.checkpoint.every``.
    save : callable
        Writes the states of the networks, and whether their training is done.
    """

    def __init__(self, every: str, save: Callable[[list[dict[str, Any]], bool], None]) -> None:
        self._every, self._save = read_interval(every), save
        self._states: Callable[[], list[dict[str, Any]]] = list
        self._last, self._cost, self._behind = time.monotonic(), 0.0, False

    def watch(self, states: Callable[[], list[dict[str, Any]]]) -> None:
        """Begin with these networks."""
        self._states = states

    def after_step(self, steps: int) -> None:
        """Write if so many steps or minutes have passed."""
        self._behind = True
        every = self._every
        due = (every.unit == "steps" and steps % every.number == 0) or (
            every.unit == "minutes" and time.monotonic() - self._last >= 60 * every.number
        )
        self._keep(due)

    def after_epoch(self) -> None:
        """Write, unless that would take more than its share of the time."""
        self._behind = True
        self._keep(self._every.unit == "epoch" and time.monotonic() - self._last >= SHARE * self._cost)

    def after_training(self) -> None:
        """Write, for what comes after the training, and for a run that is to be extended."""
        self._keep(self._behind, finished=True)

    def _keep(self, due: bool, finished: bool = False) -> None:
        stops = signals.came()
        if (due or (stops and self._behind)) and self._every.unit != "none":
            began = time.monotonic()
            self._save(self._states(), finished)
            self._last = time.monotonic()
            self._cost, self._behind = self._last - began, False
        if stops:
            signals.check()


def restore(content: Mapping[str, Any], runs: Sequence[Run], trainers: Sequence[Trainer], folder: RunDirectory) -> None:
    """Let trainers go on from a checkpoint in a folder, but for torch's generators.

    Raises
    ------
    UserError
        If it does not fit the networks.
    """
    try:
        for run, trainer, saved in zip(runs, trainers, content["members"], strict=True):
            form = run.ready.config.optimizer.form(run.optimizer, run.ready.device)
            trainer.restore(run.batches, {key: saved[key] for key in saved if key != "member"}, form)
            torch.Generator().set_state(saved["generator"].cpu())  # it is set when all else is built
        set_generators(content["generators"])
    except (UserError, MemoryError):
        raise
    except Exception as error:  # what was changed may lead anywhere
        said = f"it {error}" if isinstance(error, NotOurs) else " ".join(str(error).split())
        where = folder.path / directory.checkpoint_name(runs[0].ready.member.number)
        hint = "it was changed, or written by another version; start the run anew"
        raise UserError(str(where), f"does not fit this run: {said}", hint) from error


def generators(device: torch.device) -> dict[str, Any]:
    """Return the states of the process's generators, but for torch's on the CPU."""
    version, numbers, following = random.getstate()
    numpy: Any = np.random.get_state(legacy=False)
    key = torch.from_numpy(numpy["state"]["key"].astype("int64"))
    found: dict[str, Any] = {
        "python": (version, torch.tensor(numbers), following),
        "numpy": {**numpy, "state": {**numpy["state"], "key": key}},
    }
    if device.type == "cuda":
        found["cuda"] = torch.cuda.get_rng_state_all()
    elif device.type == "mps":
        found["mps"] = torch.mps.get_rng_state()
    return found


def set_generators(saved: Mapping[str, Any]) -> None:
    """Set the process's generators; those of a device that the run is not on any more are left alone."""
    form = generators(torch.device("cpu"))
    check_form({key: saved[key] for key in form}, {**form, "python": (*form["python"][:2], Either(None, 0.0))})
    version, numbers, following = saved["python"]
    numpy, most = saved["numpy"], len(form["numpy"]["state"]["key"])
    if numpy["state"]["pos"] > most:  # numpy would read beyond them
        raise NotOurs(f"has {numpy['state']['pos']} where numpy's place among {most} numbers should be")
    random.setstate((version, tuple(numbers.tolist()), following))
    key = numpy["state"]["key"].cpu().numpy().astype("uint32")
    np.random.set_state({**numpy, "state": {**numpy["state"], "key": key}})
    if "cuda" in saved and torch.cuda.is_available():
        torch.cuda.set_rng_state_all([state.cpu() for state in saved["cuda"]][: torch.cuda.device_count()])
    if "mps" in saved and torch.backends.mps.is_available():
        torch.mps.set_rng_state(saved["mps"].cpu())


def digest(data: Prepared) -> str:
    """Return what tells a run's data from others: a hash of the split, the labels, and what was fitted to the rows."""
    found = hashlib.sha256(pd.util.hash_pandas_object(data.splits.astype(str), index=False).to_numpy().tobytes())
    for part in data.parts.values():
        for target in part.targets.values():
            values = target.values
            found.update(repr(values.tolist()).encode() if values.dtype == object else values.tobytes())
            found.update(target.mask.tobytes())
    _add(found, data.state())
    return found.hexdigest()


def _add(found: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        for key, item in value.items():
            found.update(repr(key).encode())
            _add(found, item)
    elif isinstance(value, list | tuple):
        for item in value:
            _add(found, item)
    elif isinstance(value, torch.Tensor):
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    else:
        found.update(repr(value).encode())


def _size(path: Path) -> int:
    """Return the bytes of a file that have reached the disk: all of them."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
        return int(os.fstat(file.fileno()).st_size)


def _cut(path: Path, size: int) -> None:
    """Take away what was written after the latest checkpoint."""
    there = path.stat().st_size
    if there < size:
        raise UserError(str(path), "is shorter than when the checkpoint was written", "start the run anew")
    os.truncate(path, size)
