"""A run's folder belongs to one process at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mtl_cli.config.errors import UserError
from mtl_cli.runs.directory import RUN


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing into a run's folder. The lock ends with the process, however that ends.

    Raises
    ------
    UserError
        If another process has it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(str(folder), f"is being written by {_owner(folder)}", "wait for it to end") from error
        except OSError:  # a file system without locks
            pass
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
