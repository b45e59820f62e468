"""`launcher=processes n_jobs=2`: several jobs at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import ClassVar

from mtl_cli import signals
from mtl_cli.studies.executors.base import Executor
from mtl_cli.studies.job import Job, Outcome, failed, run_job

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 5.0
"""Seconds in which a job whose command is gone may write what it has."""


@dataclass(frozen=True)
class Processes(Executor):
    """Runs each job in a process of its own, which costs no other job if it is killed.

    Parameters
    ----------
    n_jobs : int
        How many run at once.
    """

    n_jobs: int
    beside_each_other: ClassVar[bool] = True

    def run(self, jobs: Sequence[Job]) -> Generator[Outcome, None, None]:
        """Run the jobs."""
        workers = _Workers()
        if os.name == "posix":
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()  # it would unblock the signals if the first worker started it
        pool = ThreadPoolExecutor(min(self.n_jobs, len(jobs)))
        stop: int | None = signal.SIGTERM
        with signals.raising():
            try:
                with _signals_wait():  # so do the threads of the pool and, until they know what to do, the workers
                    futures = [pool.submit(workers.run, job) for job in jobs]
                for future in futures:
                    yield future.result()
                stop = None
            except KeyboardInterrupt:
                stop = signal.SIGINT
                raise
            finally:
                if stop is not None:
                    with _signals_wait():
                        workers.stop(stop)
                pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Workers:
    """The processes that run jobs now; each is watched by a thread of the parent."""

    running: set[SpawnProcess] = field(default_factory=set)
    stopping: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Whoever starts, signals or reaps a process holds it: a process id is that of a worker as long as it is held."""

    def run(self, job: Job) -> Outcome:
        """Run a job in a new process and wait for it."""
        reader, writer = multiprocessing.Pipe(duplex=False)
        # a forked process would share torch's threads and CUDA's state
        process = multiprocessing.get_context("spawn").Process(target=_work, args=(job, writer))
        with reader:
            with writer, self.lock:
                if self.stopping:
                    return failed(job, ["was not started"], 1)
                process.start()
                self.running.add(process)
            outcome = _received(reader)
            connection.wait([process.sentinel])
        with self.lock:
            process.join()
            self.running.discard(process)
        if outcome is None:
            outcome = failed(job, [_cause(process.exitcode)], 1)
            if not self.stopping:
                print(f"mtl train: error: {job.folder}: {outcome.line['error'][0]}", file=sys.stderr)
        return outcome

    def stop(self, number: int) -> None:
        """Send the workers a signal, and start no others."""
        with self.lock:
            self.stopping = True
            for process in self.running:
                if process.pid is not None:
                    os.kill(process.pid, number)


def _received(reader: Connection) -> Outcome | None:
    """Wait for a worker's outcome; None if its process ends without one."""
    try:
        outcome: Outcome = reader.recv()
    except (EOFError, OSError):  # before or within the message
        return None
    return outcome


def _cause(status: int | None) -> str:
    """Say why a process ended that has no outcome."""
    if status is not None and status < 0:
        memory = "; perhaps memory ran out" if -status == 9 else ""
        return f"its process was killed by {signal.Signals(-status).name}{memory}"
    for number in SIGNALS:
        if status == 128 + number:
            return f"its process was stopped by {number.name}"
    return f"its process ended with status {status} before the job was done"


@contextmanager
def _signals_wait() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait for the end of the block; threads started inside and their processes inherit that."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(job: Job, writer: Connection) -> None:
    """Run a job in this process, which is there for nothing else, and send its outcome."""
    try:
        with signals.handling():
            _begin()
            outcome = run_job(job)
    except KeyboardInterrupt:
        raise SystemExit(128 + signal.SIGINT) from None  # without a traceback
    finally:
        for number in SIGNALS:  # there is nothing left to stop
            signal.signal(number, signal.SIG_IGN)
    writer.send(outcome)


def _begin() -> None:
    """Set a worker apart from the terminal: Ctrl-C is passed on to it by the process that waits for it."""
    threading.Thread(target=_end_with_parent, daemon=True).start()  # which takes no signals: they still wait here
    if os.name == "posix":
        os.setpgrp()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _end_with_parent() -> None:
    """Stop the job when the parent is gone, however it ended: nobody would know of it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)
