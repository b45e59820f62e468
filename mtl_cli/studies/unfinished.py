"""Jobs of a study that began and did not end: what is done with their folders when the study is run again."""

from __future__ import annotations

import shutil
from pathlib import Path

from mtl_cli.runs.directory import LOG


def make_way(folder: Path) -> None:
    """Empty the folder of a job that did not end, but for its log, so that the job starts anew.

    It is the one place that decides what becomes of a job half done; it holds the lock of the job's log.
    """
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != LOG:
            path.unlink()
