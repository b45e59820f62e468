"""A sweep: its folder, its jobs, and their JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mtl_cli.runs import directory
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job


def run_sweep(jobs: Sequence[Job], executor: Executor, folder: str | None) -> int:
    """Run the jobs, each in a folder of its number, and print a JSON line for each.

    Parameters
    ----------
    jobs : sequence of Job
        Whose configs are checked already.
    executor : Executor
    folder : str, optional
        The sweep's folder; by default a fresh one.

    Returns
    -------
    int
        0 if all jobs are done; 2 if some failed, all of them by the user's input; else 1.

    Raises
    ------
    BrokenPipeError
        If nobody reads the lines; the jobs are done nevertheless.
    """
    sweep = directory.fresh("sweep") if folder is None else directory.claim(folder)
    placed = [
        replace(job, folder=str(sweep / str(i)), in_place=not executor.beside_each_other) for i, job in enumerate(jobs)
    ]
    print(f"sweep of {len(jobs)} jobs in {sweep}", file=sys.stderr)
    failed, closed = set(), None
    try:
        with closing(executor.run(placed)) as outcomes:
            for outcome in outcomes:
                if outcome.status:
                    failed.add(outcome.status)
                try:
                    print(directory.to_json(outcome.line), flush=True)
                except BrokenPipeError as error:
                    closed = error
    finally:
        _remove_if_empty(sweep)
    if closed is not None:
        raise closed
    return 0 if not failed else 2 if failed == {2} else 1


def _remove_if_empty(folder: Path) -> None:
    """Take away a sweep's folder if every job was refused."""
    if not any(folder.iterdir()):
        folder.rmdir()
