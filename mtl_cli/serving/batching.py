"""The one thread that reads rows and runs the models, and the queue in front of it: requests that wait are predicted
together.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence

import pandas as pd

from mtl_cli.config.machine import user_error
from mtl_cli.data.base import Examples
from mtl_cli.serving.answers import to_csv, to_json
from mtl_cli.serving.jobs import Job, fail, numbered, tell
from mtl_cli.serving.limits import HTTPError, Limits, refused
from mtl_cli.serving.metrics import Metrics
from mtl_cli.serving.rows import CSV, Shape, notes_of, read_csv, read_rows, rows_of, shape_of


class Batcher:
    """Answers jobs in a thread of its own.

    Parameters
    ----------
    limits : Limits
    metrics : Metrics
    threads : int
        Of torch within an operation.
    log : callable
        Takes a line for who runs the server.
    """

    def __init__(self, limits: Limits, metrics: Metrics, threads: int, log: Callable[[str], None]) -> None:
        self.limits, self.metrics, self.threads, self.log = limits, metrics, threads, log
        self.waiting: deque[Job] = deque()
        self._changed = threading.Condition()
        self._open = self._patient = True
        self._thread = threading.Thread(target=self._work, name="mtl-model", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def hurry(self) -> None:
        """Let no request wait for others any more: none will come."""
        with self._changed:
            self._patient = False
            self._changed.notify()

    def close(self) -> None:
        """End once the queue is empty."""
        self.hurry()
        with self._changed:
            self._open = False
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def submit(self, job: Job) -> None:
        """Put a job into the queue. Raises HTTPError if it is full."""
        with self._changed:
            if len(self.waiting) >= self.limits.queue:
                what = f"{len(self.waiting):,} requests wait already"
                raise refused(429, "queue", what, "try again in a second", retry_after="1")
            self.waiting.append(job)
            self._changed.notify()

    def _work(self) -> None:
        import torch

        torch.set_num_threads(self.threads)
        while jobs := self._next():
            self._answer(jobs)

    def _next(self) -> list[Job]:
        """Wait for jobs and return those that are there within the bounded wait; none when the server closes."""
        with self._changed:
            while not self.waiting:
                if not self._open:
                    return []
                self._changed.wait()
            until = self.waiting[0].since + self.limits.batch_wait
            while self._patient and len(self.waiting) < self.limits.batch and (left := until - time.monotonic()) > 0:
                self._changed.wait(left)
            return [self.waiting.popleft() for _ in range(min(len(self.waiting), self.limits.batch))]

    def _answer(self, jobs: Sequence[Job]) -> None:
        """Answer jobs: those alike together, the others one after the other."""
        alike: dict[tuple[int, bool, Shape], list[Job]] = {}
        alone: list[Job] = []
        now = time.monotonic()
        for job in jobs:
            self.metrics.waited.observe(now - job.since)
            if now > job.deadline or job.result.cancelled():
                continue  # nobody waits any more
            try:
                if job.form != CSV:
                    job.rows = rows_of(job.body, job.form, self.limits.rows)
                    job.shape = shape_of(job.rows)
            except HTTPError as error:
                fail(job, error)
                continue
            if job.shape is None:
                alone.append(job)
            else:
                alike.setdefault((id(job.served), job.every, job.shape), []).append(job)
        for group in alike.values():
            self._together(group)
        for job in alone:
            self._alone(job)

    def _together(self, jobs: list[Job]) -> None:
        """Predict the rows of jobs as one table, unless something is to be said of some of them: then half by half."""
        if len(jobs) == 1:
            self._alone(jobs[0])
            return
        found = self._one_table(jobs)
        if found is None:
            self._together(jobs[: len(jobs) // 2])
            self._together(jobs[len(jobs) // 2 :])
            return
        table, notes = found
        ends = itertools.accumulate(len(job.rows) for job in jobs)
        for job, end in zip(jobs, ends, strict=True):
            self._give(job, numbered(table.iloc[end - len(job.rows) : end], job), notes)

    def _one_table(self, jobs: list[Job]) -> tuple[pd.DataFrame, list[str]] | None:
        """Return the predictions of the rows of all jobs, and what each is told; None if one may be told more."""
        rows, told = [row for job in jobs for row in job.rows], list[str]()
        try:
            table = self._predict(jobs[0], read_rows(jobs[0].served.model, rows, told.append), told)
        except Exception:  # noqa: BLE001  whose it is shows when each is predicted by itself
            return None
        return (table, told) if set(told) <= notes_of(jobs[0].shape or ()) else None

    def _alone(self, job: Job) -> None:
        """Predict the rows of one job, whatever comes of it."""
        if time.monotonic() > job.deadline:
            return
        try:
            self._read_and_predict(job)
        except HTTPError as error:
            fail(job, error)
        except Exception as error:  # noqa: BLE001  a bug of ours must not leave all later requests without an answer
            known = user_error(error)  # no memory, or no disk for an uploaded table
            self.log(f"error: {known or traceback.format_exc()}")
            what = "this is a bug; its log has more" if known is None else "has no memory or disk left for this"
            fail(job, refused(500 if known is None else 503, "server", what))

    def _read_and_predict(self, job: Job) -> None:
        notes: list[str] = []
        if job.form == CSV:
            examples = read_csv(job.served.model, job.body, self.limits.rows, notes.append)
        else:
            examples = read_rows(job.served.model, job.rows, notes.append)
        self._give(job, self._predict(job, examples, notes), notes)

    def _predict(self, job: Job, examples: Examples, notes: list[str]) -> pd.DataFrame:
        begin = time.perf_counter()
        table = job.served.model.predict(examples, notes.append, probabilities=job.every)
        self.metrics.predicted(job.served.name, len(table), time.perf_counter() - begin)
        return table

    def _give(self, job: Job, table: pd.DataFrame, notes: list[str]) -> None:
        answer = to_csv(table) if job.answer == CSV else to_json(job.served.name, table, notes)
        tell(job, answer)
