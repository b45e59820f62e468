"""Requests that wait for the models, and how their answers get back to the loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass, field

import pandas as pd

from mtl_cli.serving.limits import HTTPError
from mtl_cli.serving.rows import Rows, Shape
from mtl_cli.serving.served import Served


@dataclass(eq=False)
class Job:
    """A request that waits for its answer.

    Parameters
    ----------
    served : Served
        The model that it is for, whatever is loaded meanwhile.
    body : bytes
    form, answer : str
        The types of the body and of the answer.
    every : bool
        Whether the probabilities of all classes are asked for.
    deadline : float
        On the clock of ``time.monotonic``; nobody waits for an answer after it.
    """

    served: Served
    body: bytes
    form: str
    answer: str
    every: bool
    deadline: float
    result: asyncio.Future[bytes]
    since: float = field(default_factory=time.monotonic)
    rows: Rows = ()
    shape: Shape | None = None


def numbered(table: pd.DataFrame, job: Job) -> pd.DataFrame:
    """Return a job's rows of an answer as those of a table of its own, in which numbers of rows begin at 0."""
    ids = [one.name for one in job.served.fields if one.kind == "id"]
    if "row" not in table.columns or ("row" in ids and "row" in job.rows[0]):
        return table
    return table.assign(row=range(len(table)))


def fail(job: Job, error: HTTPError) -> None:
    """Answer a job with an error, from the thread of the models."""
    tell(job, b"", error)


def tell(job: Job, answer: bytes, error: HTTPError | None = None) -> None:
    """Hand an answer to the loop, from this thread; if the loop has ended nobody waits for it."""
    with contextlib.suppress(RuntimeError):
        job.result.get_loop().call_soon_threadsafe(_set, job.result, answer, error)


def _set(result: asyncio.Future[bytes], answer: bytes, error: HTTPError | None) -> None:
    if result.done():
        return
    if error is None:
        result.set_result(answer)
    else:
        result.set_exception(error)
