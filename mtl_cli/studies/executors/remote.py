"""What executors on a cluster share: so many jobs are handed out at once, and one whose worker is lost once more."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Generator, Iterable, Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Generic, TypeVar

from mtl_cli.studies.executors.base import TRIES, Ended, Executor
from mtl_cli.studies.executors.limits import Limits, limit, output_to_log
from mtl_cli.studies.job import Job, Outcome, failed, run_job

Handle = TypeVar("Handle")


class Remote(Executor, Generic[Handle]):
    """Runs jobs on machines that see the same folders as this one, under the same names."""

    def run(self, jobs: Iterable[Job]) -> Generator[Ended, None, None]:
        """Run the jobs."""
        waiting: Iterator[Job] = iter(jobs)
        again: list[Job] = []
        causes: dict[int, list[str]] = {}
        running: list[tuple[Job, Handle]] = []
        done = False
        try:
            first = next(waiting, None)
            most = 0 if first is None else self.open(first)
            waiting = chain(() if first is None else (first,), waiting)
            while True:
                lost, again = again, []
                room = most - len(running)
                for job in islice(chain(lost, waiting), room):
                    running.append((job, self.start(job)))
                again = lost[room:]
                if not running:
                    break
                for place in sorted(self.wait([handle for _, handle in running]), reverse=True):
                    job, handle = running.pop(place)
                    outcome = self.outcome(handle)
                    if isinstance(outcome, Outcome):
                        yield job, outcome
                        continue
                    own = causes.setdefault(job.number, [])
                    own.append(outcome)
                    if len(own) < TRIES:
                        again.append(job)
                    else:
                        yield job, failed(job, [f"{own[0]}, and when it was tried again, {own[1]}"], 1)
            done = True
        finally:
            self.close([handle for _, handle in running], done)

    @abstractmethod
    def open(self, first: Job) -> int:
        """Reach the cluster, given the first job; return how many to hand out at once."""

    @abstractmethod
    def start(self, job: Job) -> Handle:
        """Hand out a job."""

    @abstractmethod
    def wait(self, running: list[Handle]) -> list[int]:
        """Wait for a while; return the places of those that have ended."""

    @abstractmethod
    def outcome(self, handle: Handle) -> Outcome | str:
        """Return what became of a job that has ended, or why its worker was lost."""

    @abstractmethod
    def close(self, running: list[Handle], done: bool) -> None:
        """Stop what still runs, and leave the cluster; ``done`` if all jobs have ended."""


def work(job: Job, limits: Limits, here: str) -> Outcome:
    """Run a job in a process of a cluster, in the folder that the command was given in."""
    os.chdir(here)
    limit(replace(limits, memory=None))  # the cluster sees to that
    with output_to_log(job):
        return run_job(job)


def here() -> str:
    """Return the folder that paths are relative to."""
    return str(Path.cwd())
