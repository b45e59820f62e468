"""A run's folder: its files' names, and making it so that no two runs share one and none is overwritten."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.io import atomic, to_json

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


def file_name(name: str) -> str:
    """Return what a file or folder is called that belongs to a task, whatever its name holds."""
    return re.sub(r"[^\w.-]", "_", name)


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run."""

    path: Path

    def write(self, name: str, write: Callable[[Path], object]) -> None:
        """Write a file of the run whole or not at all."""
        atomic(self.path / name, write)

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
    folder = Path(path).expanduser()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError("run_dir", f"{path} is there already", "give another folder; a run never overwrites")


def claim(path: str) -> Path:
    """Make the folder that the user named, or take it if it is empty."""
    check_free(path)
    folder = Path(path).expanduser()
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
