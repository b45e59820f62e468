"""A run's folder: its files' names, and making it so that no two runs share one and none is overwritten."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.io import atomic, to_json, user_path

OUTPUTS = "outputs"
LATEST = "latest"
"""In ``outputs``: a link to the newest run or study."""
MODEL = "mtl_model.pt"
HISTORY = "mtl_history.csv"
METRICS = "metrics.json"
PREDICTIONS = "predictions.csv"
OUT_OF_FOLD = "out_of_fold.csv"
SPLITS = "splits.csv"
CONFIG = "config.yaml"
RUN = "run.json"
CHECKPOINT = "checkpoint.pt"
PLOTS = "plots"
LOG = "log.txt"
"""What a job of a study told while it ran."""
STUDY, STUDY_TABLE = "study.yaml", "study.csv"
"""What a study is, and a row for each job that has ended."""
SINGLE = "single"
"""Folder of the single-task networks that a run is compared with."""


def weights_name(balancer: str) -> str:
    """Return the name of the file with a balancer's weights."""
    return f"{balancer}_weights.csv"


def checkpoint_name(number: int) -> str:
    """Return the name of the checkpoint of the member ``number``, from 0, and of those that are trained with it."""
    return CHECKPOINT if number == 0 else f"checkpoint_{number}.pt"


def file_name(name: str) -> str:
    """Return what a file or folder is called that belongs to a task, whatever its name holds."""
    return re.sub(r"[^\w.-]", "_", name)


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return by name what its file or folder is called: no two the same, also where case is not told apart."""
    found: dict[str, str] = {}
    for name in names:
        taken = {other.casefold() for other in found.values()}
        numbered = (f"_{number}" if number > 1 else "" for number in itertools.count(1))
        found[name] = next(file_name(name) + end for end in numbered if (file_name(name) + end).casefold() not in taken)
    return found


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run."""

    path: Path

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file of the run whole or not at all."""
        atomic(self.path / name, write)

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints that are there."""
        return sorted(self.path.glob(f"{Path(CHECKPOINT).stem}*{Path(CHECKPOINT).suffix}"))

    def remove_checkpoints(self) -> None:
        """Remove the checkpoints, and those of the single-task networks."""
        for path in self.path.rglob(f"{Path(CHECKPOINT).stem}*{Path(CHECKPOINT).suffix}"):
            path.unlink()

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file; numbers that JSON lacks become null."""
        self.write(name, lambda file: file.write_text(to_json(value, indent=2) + "\n", encoding="utf-8"))


def fresh(stem: str) -> Path:
    """Make a new folder ``outputs/<date>_<time>_<stem>``, numbered if another process took the name first."""
    stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    outputs = Path(OUTPUTS)
    try:
        outputs.mkdir(exist_ok=True)
        for number in range(1, 10_000):
            path = outputs / (f"{stamp}_{stem}" if number == 1 else f"{stamp}_{stem}_{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            remember(path)
            return path
    except OSError as error:
        raise UserError("run_dir", f"{outputs} cannot be written: {error.strerror}", "give run_dir=…") from error
    raise UserError("run_dir", f"{outputs} is full of runs of this second", "give run_dir=…")


def check_free(path: str) -> None:
    """Raise UserError if the folder that the user named holds anything: a run never overwrites."""
    folder = user_path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("run_dir", f"{path} already exists", "give another folder; a run never overwrites")


def claim(path: str) -> Path:
    """Make the folder that the user named, or take it if it is empty."""
    check_free(path)
    folder = user_path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError("run_dir", f"{path} cannot be made: {error.strerror}") from error
    remember(folder)
    return folder


def remember(path: Path) -> None:
    """Let ``outputs/latest`` lead to this run or study, if there is a folder ``outputs``: none is made for it alone."""
    outputs = Path(OUTPUTS)
    if not outputs.is_dir():
        return
    link = outputs / f".{LATEST}-{os.getpid()}"
    try:
        link.symlink_to(os.path.relpath(path, outputs), target_is_directory=True)
        link.replace(outputs / LATEST)
    except OSError:  # Windows lets few users make links, and some file systems none; no command of ours needs it
        link.unlink(missing_ok=True)
