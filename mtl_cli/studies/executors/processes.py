"""`launcher=processes n_jobs=2`: several jobs at once, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import connection
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from mtl_cli import signals
from mtl_cli.config.errors import UserError
from mtl_cli.studies.executors.base import TRIES, Ended, Executor
from mtl_cli.studies.executors.limits import Limits, limit, output_to_log
from mtl_cli.studies.job import Job, Outcome, failed, run_job

if TYPE_CHECKING:
    from multiprocessing.context import ForkServerContext, SpawnContext  # Windows has no forks

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PRELOADED = ["torch", "pandas", "sklearn.metrics", "sklearn.model_selection", "sklearn.ensemble", "hydra", "rich.table"]
"""What a job needs and takes seconds to import: done once, in the process that the others are forked from."""
GRACE = 5.0
"""Seconds in which a job whose command is gone may write what it has."""


@dataclass(frozen=True)
class Processes(Executor):
    """Runs each job in a process of its own, which costs no other job if it is killed.

    Parameters
    ----------
    n_jobs : int
        How many run at once.
    limits : Limits
        Of each.
    """

    n_jobs: int
    limits: Limits = field(default_factory=Limits)

    def run(self, jobs: Iterable[Job]) -> Generator[Ended, None, None]:
        """Run the jobs."""
        workers = _Workers(self.limits)
        if os.name == "posix":
            from multiprocessing import resource_tracker

            resource_tracker.ensure_running()  # it would unblock the signals if the first worker started it
        pool, waiting = ThreadPoolExecutor(self.n_jobs), iter(jobs)
        running: dict[Future[Outcome], Job] = {}
        stop: int | None = signal.SIGTERM
        with signals.raising():
            try:
                while True:
                    for job in islice(waiting, self.n_jobs - len(running)):
                        with _signals_wait():  # so do the threads of the pool and, until they are ready, the workers
                            running[pool.submit(workers.run, job)] = job
                    if not running:
                        break
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        yield running.pop(future), future.result()
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

    limits: Limits
    running: set[BaseProcess] = field(default_factory=set)
    stopping: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    """Whoever starts, signals or reaps a process holds it, so that none is signalled after it was reaped here."""

    def run(self, job: Job) -> Outcome:
        """Run a job in a new process and wait for it; once more in another one if the first is killed."""
        causes: list[str] = []
        while len(causes) < TRIES:
            outcome = self._try(job)
            if not isinstance(outcome, str):
                return outcome
            causes.append(outcome)
            if self.stopping:
                break
        again = "" if len(causes) == 1 else f", and when it was tried again, {causes[1]}"
        return failed(job, [causes[0] + again], 1)

    def _try(self, job: Job) -> Outcome | str:
        """Return the outcome of a job in a new process, or why that has none."""
        reader, writer = multiprocessing.Pipe(duplex=False)
        process = process_context().Process(target=_work, args=(job, self.limits, dict(os.environ), writer))
        with reader:
            with writer, self.lock:
                if self.stopping:
                    return "it was not started"
                process.start()
                self.running.add(process)
            outcome = _received(reader)
            connection.wait([process.sentinel])
        with self.lock:
            process.join()
            self.running.discard(process)
        return _cause(process.exitcode) if outcome is None else outcome

    def stop(self, number: int) -> None:
        """Send the workers a signal, and start no others."""
        with self.lock:
            self.stopping = True
            for process in self.running:
                if process.pid is not None and process.is_alive():  # an ended one's number may be another's by now
                    os.kill(process.pid, number)


def process_context() -> ForkServerContext | SpawnContext:
    """Return what starts processes that share neither threads nor a GPU's state with this one.

    They are forked from a process that has only imported ``PRELOADED``, or, where there is no fork, start from nothing.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    return context


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


def _work(job: Job, limits: Limits, environment: dict[str, str], writer: Connection) -> None:
    """Run a job in this process, which is there for nothing else, and send its outcome."""
    os.environ |= environment  # what it was forked from has that of the first study of the command
    try:
        limit(limits)
        with output_to_log(job), signals.handling():
            _begin()
            outcome = run_job(job)
    except UserError as error:  # of the limits
        outcome = failed(job, str(error).splitlines(), 1)
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
