"""A file or folder belongs to one process at a time: a run's folder, a study, a job's log."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mtl_cli.config.errors import UserError
from mtl_cli.runs.directory import RUN


def take_lock(file: IO[str] | int, patience: float = 0.0) -> bool:
    """Take the lock of what is open, and return whether no other process has had it for so many seconds.

    The lock ends when the file is closed, or with the process, however that ends.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.1)
        except OSError:  # a file system without locks
            return True
        else:
            return True


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a run's folder.

    Raises
    ------
    UserError
        If another process has it.
    """
    if os.name == "nt":  # where no folder can be opened
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if not take_lock(descriptor):
            raise UserError(str(folder), f"is being written by {_owner(folder)}", "wait for it to end")
        yield
    finally:
        os.close(descriptor)


def _owner(folder: Path) -> str:
    """Return who writes, as ``run.json`` says."""
    try:
        record = json.loads((folder / RUN).read_text(encoding="utf-8"))
        return f"process {record['process']} on {record['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
