"""`launcher=processes n_jobs=2`: several jobs at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import ClassVar

from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, Outcome, run_job

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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

    def run(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """Run the jobs."""
        context = multiprocessing.get_context("spawn")  # a forked process would share torch's threads and CUDA's state
        pool = ProcessPoolExecutor(min(self.n_jobs, len(jobs)), context, initializer=_begin)
        stop: int | None = signal.SIGTERM
        try:
            with _signals_wait():  # a worker that starts is not to be hit before it knows what to do
                futures = [pool.submit(_run, job) for job in jobs]
            for job, future in zip(jobs, futures, strict=True):
                try:
                    yield future.result()
                except BrokenProcessPool:
                    what = "its process ended early; did it run out of memory?"
                    yield Outcome(
                        {"run_dir": job.folder, "status": "failed", "error": [what], "overrides": job.overrides}, 1
                    )
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


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block; processes that are started inside inherit that."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@dataclass
class _Worker:
    """What a worker process knows of itself."""

    busy: bool = False
    stopped: bool = False


_worker = _Worker()


def _begin() -> None:
    """Set a worker apart from the terminal: Ctrl-C is passed on to it by the process that waits for it."""
    for number in SIGNALS:
        signal.signal(number, _stop)
    if os.name == "posix":
        os.setpgrp()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _stop(number: int, frame: FrameType | None) -> None:
    """Stop the job, if there is one, and begin no other."""
    _worker.stopped = True
    if _worker.busy:
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(143)


def _run(job: Job) -> Outcome:
    if _worker.stopped:
        raise KeyboardInterrupt
    _worker.busy = True
    try:
        return run_job(job)
    finally:
        _worker.busy = False
