"""`launcher=processes n_jobs=2`: several jobs at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from types import FrameType
from typing import ClassVar, NoReturn

from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, Outcome, run_job


@dataclass(frozen=True)
class Processes(Executor):
    """Runs jobs in worker processes, each of which takes the next job when it is done with one.

    Parameters
    ----------
    n_jobs : int
        How many run at once.
    """

    n_jobs: int
    beside_each_other: ClassVar[bool] = True

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Run the jobs."""
        context = multiprocessing.get_context("spawn")  # a forked process would share torch's threads and CUDA's state
        pool = ProcessPoolExecutor(min(self.n_jobs, len(jobs)), context, initializer=_begin)
        stop: int | None = signal.SIGTERM
        try:
            futures = [pool.submit(_run, job) for job in jobs]
            for job, future in zip(jobs, futures, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    what = "its process ended before its time; was there too little memory?"
                    yield Outcome({"run_dir": job.folder, "status": "failed", "error": [what], "overrides": job.overrides}, 1)
            stop = None
        except KeyboardInterrupt:
            stop = signal.SIGINT
            raise
        finally:
            if stop is not None:
                for child in multiprocessing.active_children():
                    if child.pid is not None:
                        os.kill(child.pid, stop)
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Make a worker deaf between jobs, and apart from the terminal: its Ctrl-C is passed on by the process that waits."""
    if os.name == "posix":
        os.setpgrp()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _run(job: Job) -> Outcome:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _terminate)
    try:
        return run_job(job)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _terminate(signum: int, frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)
