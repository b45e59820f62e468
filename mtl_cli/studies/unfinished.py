"""Jobs of a study that began and did not end: what is done with their folders when the study is run again."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtl_cli.runs.directory import LOG, RunDirectory
from mtl_cli.studies.results import Result


def resumable(folder: Path) -> bool:
    """Whether a job's run was cut off, and left what it can go on from; one that failed would fail again."""
    return bool(RunDirectory(folder).checkpoints()) and Result(folder).status != "failed"


def make_way(folder: Path) -> None:
    """Empty the folder of a job, but for its log, so that the job starts anew."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOG:
            path.unlink()
