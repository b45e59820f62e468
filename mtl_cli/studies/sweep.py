"""A sweep: its folder, its jobs, and their JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mtl_cli.config.assemble import resolve
from mtl_cli.config.errors import UserError
from mtl_cli.config.yaml_text import escaped
from mtl_cli.io import to_json
from mtl_cli.runs import directory
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, Outcome


def run_sweep(jobs: Sequence[Job], executor: Executor, folder: str | None, as_json: bool = True) -> int:
    """Run the jobs, each in a folder of its number, and print a line for each.

    Parameters
    ----------
    jobs : sequence of Job
        Whose configs are checked already.
    executor : Executor
    folder : str, optional
        The sweep's folder; by default a fresh one.
    as_json : bool, default True
        Whether the lines are JSON, for programs, or a few words, for a terminal.

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
                    print(to_json(outcome.line) if as_json else _words(outcome), flush=True)
                except BrokenPipeError as error:
                    closed = error
    finally:
        _remove_if_empty(sweep)
    if closed is not None:
        raise closed
    return 0 if not failed else 2 if failed == {2} else 1


def _words(outcome: Outcome) -> str:
    """Return the line of a job for a terminal: its folder, its score, and the words that made it."""
    line = outcome.line
    score = line.get("score")
    came = line["status"] if score is None else f"score {score:.4g}"
    return f"{line['run_dir']}  {came}"


def sweep_folder(jobs: Sequence[Job], text: str | None) -> str | None:
    """Return the folder that ``run_dir`` names, its interpolations resolved; None if a fresh one is to be made.

    Parameters
    ----------
    jobs : sequence of Job
    text : str, optional
        What the command line gives; by default that of the jobs' configs.

    Raises
    ------
    UserError
        If it would be another folder for some jobs.
    """
    found: dict[str | None, None] = {}
    for job in jobs:
        own = job.plain.get("run_dir")
        found[own if text is None else resolve({**escaped(job.plain), "run_dir": text})["run_dir"]] = None
    if len(found) > 1:
        what = f"is one folder for the whole sweep, not {' and '.join(map(str, list(found)[:2]))}"
        raise UserError("run_dir", what, "its runs go to run_dir/0, run_dir/1, …")
    return next(iter(found))


def _remove_if_empty(folder: Path) -> None:
    """Take away a sweep's folder if every job was refused."""
    if not any(folder.iterdir()):
        folder.rmdir()
