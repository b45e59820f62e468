"""What a job in a process of its own may use: cores and memory; and where such a process writes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtl_cli.config.errors import UserError
from mtl_cli.config.machine import in_bytes
from mtl_cli.runs.directory import LOG
from mtl_cli.studies.job import Job

GB = 10**9
LEAST = 64 * 2**20
"""Bytes that no job does without, beside what is in use before it begins: its first thread would wait for ever."""


@dataclass(frozen=True)
class Limits:
    """What one job may use.

    Parameters
    ----------
    cores : int, optional
        Threads of its process; by default as many as the libraries take.
    memory : int, optional
        Bytes.
    gpus : float
        What a cluster gives it; half a GPU is for two jobs on one.
    """

    cores: int | None = None
    memory: int | None = None
    gpus: float = 0


def limit(limits: Limits) -> None:
    """Hold this process to the limits, as far as one process can be; before it computes anything.

    Raises
    ------
    UserError
        If the limit of memory is all but in use.
    """
    if limits.cores is not None:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # of what is not imported yet
            os.environ[name] = str(limits.cores)
        if "torch" in sys.modules:
            import torch
            from threadpoolctl import threadpool_limits

            torch.set_num_threads(limits.cores)
            threadpool_limits(limits.cores)
    if limits.memory is not None and sys.platform == "linux":  # elsewhere it only says how many jobs fit
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
        if used + LEAST > limits.memory:
            what = f"{in_bytes(limits.memory)} is too little: {in_bytes(used)} are in use before a job begins"
            raise UserError("memory", what, f"memory={(used + 8 * LEAST) / GB:.1f}GB or more")
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        most = limits.memory if hard == resource.RLIM_INFINITY else min(limits.memory, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (most, hard))


@contextmanager
def output_to_log(job: Job) -> Iterator[None]:
    """Send all that this process writes inside to a job's log, what libraries below Python write too."""
    folder = Path(str(job.folder))
    folder.mkdir(exist_ok=True)
    _flush()
    before = {descriptor: os.dup(descriptor) for descriptor in (1, 2)}
    with (folder / LOG).open("a") as log:
        for descriptor in before:
            os.dup2(log.fileno(), descriptor)
    try:
        yield
    finally:
        _flush()
        for descriptor, saved in before.items():
            os.dup2(saved, descriptor)
            os.close(saved)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
