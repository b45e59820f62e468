"""What ``run.json`` says of a run, from its start to its end, however it ends."""

from __future__ import annotations

import os
import platform
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch

from mtl_cli import __version__, signals
from mtl_cli.config.errors import UserError
from mtl_cli.runs import directory
from mtl_cli.runs.directory import RunDirectory
from mtl_cli.runs.records import read_record
from mtl_cli.training.build import Ready, Run
from mtl_cli.training.trial import Pruned

TRAINING = "seconds_training", "seconds_waiting"
"""Of ``seconds``, those of the training, and of these, those in which it waited for data."""


@contextmanager
def recorded(folder: RunDirectory, command: list[str], started: float, run: Run, members: int) -> Iterator[None]:
    """Write ``run.json``: that the run goes on, and when what is done inside has ended, with how it ended.

    Parameters
    ----------
    folder : RunDirectory
    command : list of str
        What the user wrote.
    started : float
        When the run began, by ``time.perf_counter``.
    run : Run
        The first of its members.
    members : int
    """
    record = {"command": command, **_record(run.ready, run, members)}
    before = earlier(folder)
    if before:  # the run is resumed
        record |= {"command": before.get("command", command), "resumed": [*before.get("resumed", []), command]}
    spent, training, waiting = (float(before.get(key) or 0) for key in ("seconds", *TRAINING))

    def write(status: str, **more: Any) -> None:
        seconds = spent + time.perf_counter() - started
        own = run.ready.spent
        times = dict(zip(TRAINING, (training + own.training, waiting + own.waiting), strict=True))
        folder.write_json(directory.RUN, {**record, "status": status, "seconds": seconds, **times, **more})

    def end(status: str, **more: Any) -> None:
        # the way gradients are computed is that of the last step: it may change with the size of a batch
        write(status, gradients=run.step.backend, peak_memory_bytes=_peak_memory(run.ready.device), **more)

    def at_once(number: int) -> None:
        end("interrupted" if number == signal.SIGINT else "terminated")
        os.write(2, f"note: {next_step(folder)}\n".encode())

    write("running", process=os.getpid(), host=platform.node())
    try:
        with signals.last_words(at_once):
            yield
            end("done")
    except BaseException as error:
        ended = {KeyboardInterrupt: "interrupted", SystemExit: "terminated", Pruned: "pruned"}
        status = ended.get(type(error), "failed")
        more = {} if status != "failed" else {"error": _told(error)}
        with suppress(OSError):  # such as a full disk, which is told already
            end(status, **more)
        if status in ("interrupted", "terminated"):
            run.ready.progress.notice(next_step(folder))
        raise


def _told(error: BaseException) -> str:
    return str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"


def next_step(folder: RunDirectory) -> str:
    """Return what to do after a run was interrupted."""
    there = f"what was reached so far is in {folder.path}"
    return f"{there}; next: mtl train resume={shlex.quote(str(folder.path))}"


def earlier(folder: RunDirectory) -> dict[str, Any]:
    """Return what ``run.json`` says; nothing if there is none, or it cannot be read."""
    with suppress(OSError, UserError):
        return read_record(folder.path / directory.RUN)
    return {}


def _record(ready: Ready, run: Run, members: int) -> dict[str, Any]:
    """Return what is known of a run from its start; ``run`` is the first of its members."""
    data = ready.data
    return {
        "mtl": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": str(ready.device),
        "threads": torch.get_num_threads(),
        "seed": ready.config.seed,
        "members": members,
        "rows": {name: len(part) for name, part in data.parts.items()},
        "inputs": data.reader.spec.names or list(data.reader.spec.shape),
        "parameters": sum(p.numel() for p in run.network.parameters()),
    }


def _peak_memory(device: torch.device) -> int | None:
    """Return the most memory the process has held, or on CUDA the most that torch has."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
