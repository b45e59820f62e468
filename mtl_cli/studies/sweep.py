"""A sweep: its jobs are run, told of as they end, and summed up."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.config.assemble import resolve
from mtl_cli.config.errors import UserError
from mtl_cli.config.yaml_text import escaped
from mtl_cli.io import to_json
from mtl_cli.reports.study import StudyProgress, duration
from mtl_cli.runs.directory import LOG
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, Outcome
from mtl_cli.studies.study import Study, lock

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True)
class Ran:
    """What became of the jobs of a study.

    Parameters
    ----------
    outcomes : dict of int to Outcome
        By job.
    console : Console
        Where it was told.
    closed : BrokenPipeError, optional
        If nobody reads the JSON lines.
    """

    outcomes: dict[int, Outcome]
    console: Console
    closed: BrokenPipeError | None

    @property
    def failed(self) -> int:
        """How many jobs failed."""
        return sum(outcome.status != 0 for outcome in self.outcomes.values())

    @property
    def status(self) -> int:
        """0 if all jobs are done; 2 if some failed, all of them by the user's input; else 1."""
        found = {outcome.status for outcome in self.outcomes.values()} - {0}
        return 0 if not found else 2 if found == {2} else 1


def run_sweep(study: Study, executor: Executor, as_json: bool = True) -> int:
    """Run the jobs of a study that are not done yet, and sum up what the study came to.

    Parameters
    ----------
    study : Study
    executor : Executor
    as_json : bool, default True
        Whether stdout gets a JSON line for each job, in their order.

    Returns
    -------
    int
        0 if all jobs are done; 2 if some failed, all of them by the user's input; else 1.

    Raises
    ------
    BrokenPipeError
        If nobody reads the lines; the jobs are done nevertheless.
    """
    ran = run_jobs(study, executor, as_json)
    from mtl_cli.studies.summary import print_summary  # its tables need pandas

    print_summary(ran.console, study)
    if ran.failed:
        print(f"{ran.failed} of {len(study.jobs)} jobs failed; once mended, {_again(study.path)}", file=sys.stderr)
    if ran.closed is not None:
        raise ran.closed
    return ran.status


def run_jobs(study: Study, executor: Executor, as_json: bool, run_dir: Path | None = None) -> Ran:
    """Run the jobs of a study that are not done yet, and tell of each as it ends.

    Parameters
    ----------
    study, executor, as_json
        As ``run_sweep`` has them.
    run_dir : Path, optional
        The folder that the user named, if the study is a part of what is in it.
    """
    with lock(study):
        outcomes = study.done_before()
        left = [job for job in study.jobs if job.number not in outcomes]
        before = f"{len(outcomes)} are done, {len(left)} to run" if outcomes else "all to run"
        print(f"study of {len(study.jobs)} jobs in {study.path}: {before}", file=sys.stderr)
        lines = _Lines(as_json, outcomes)
        progress = StudyProgress(len(study.jobs), len(outcomes), partial(_running, left, outcomes, time.time()))
        try:
            with closing(executor.run(left)) as ended:
                for job, outcome in ended:
                    outcomes[job.number] = outcome
                    study.add(job, outcome)
                    progress.ended(_line(study, job, outcome), outcome.status != 0)
                    lines.print()
        except (KeyboardInterrupt, SystemExit):
            progress.stop()
            print(
                f"{len(study.rows)} of {len(study.jobs)} jobs have ended; {_again(run_dir or study.path)}",
                file=sys.stderr,
            )
            raise
        finally:
            progress.stop()
    return Ran(outcomes, progress.console, lines.closed)


class _Lines:
    """The JSON lines of the jobs on stdout, in the jobs' order.

    Parameters
    ----------
    wanted : bool
    outcomes : dict of int to Outcome
        By job, which others are added to.
    """

    def __init__(self, wanted: bool, outcomes: dict[int, Outcome]) -> None:
        self._wanted, self._outcomes, self._printed = wanted, outcomes, 0
        self.closed: BrokenPipeError | None = None
        self.print()

    def print(self) -> None:
        """Print those that are due."""
        while self._printed in self._outcomes:
            if self._wanted and self.closed is None:
                try:
                    print(to_json(self._outcomes[self._printed].line), flush=True)
                except BrokenPipeError as error:
                    self.closed = error
            self._printed += 1


def _line(study: Study, job: Job, outcome: Outcome) -> str:
    """Return the line of a job that has ended: what sets it apart, and its score or what went wrong."""
    row = study.rows[job.number]
    if outcome.status:
        where = f"; its log is {job.folder}/{LOG}" if outcome.status == 1 else ""
        return f"{job.label}  failed: {outcome.line['error'][0]}{where}"
    score = "done" if row["score"] is None else f"score {row['score']:.4f}"
    return f"{job.label}  {score}  {duration(row['seconds'])}"


def _running(jobs: Sequence[Job], outcomes: dict[int, Outcome], since: float) -> int:
    """Count the jobs that have begun and not ended; a job begins by writing to its log, wherever it runs."""
    logs = [Path(str(job.folder)) / LOG for job in jobs if job.number not in outcomes]
    return sum(log.exists() and log.stat().st_mtime >= since for log in logs)


def _again(path: Path) -> str:
    return f"the same command with run_dir={shlex.quote(str(path))} runs those that are not done"


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
