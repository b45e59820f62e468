"""One case of a fuzzer in a fork of a warm process, within bounds of time, memory and what it may write."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CPU_SECONDS, MEMORY = 10, 2 * 2**30
"""What a case may take beyond what the warm process has."""


@dataclass(frozen=True)
class Came:
    """How commands ended.

    Parameters
    ----------
    status : int
        Negative for a signal.
    out, err : str
    seconds : float
        Of the processor.
    """

    status: int
    out: str
    err: str
    seconds: float

    def fault(self) -> str | None:
        """Say what is wrong with how it ended, or return None."""
        if "Traceback" in self.err or "Exception ignored" in self.err:
            return f"a traceback: {self.err.strip()[-700:]}"
        if self.status not in (0, 2):
            return f"status {self.status} after {self.seconds:.1f} s of the processor: {self.err[-300:]}"
        errors = [line for line in self.err.splitlines() if ": error: " in line]
        if self.status == 2 and not errors and ": " not in self.out:
            return f"status 2 without a line: {self.err[-300:]}"
        if any(len(line) > 2500 for line in self.err.splitlines()):
            return f"a line of {max(map(len, self.err.splitlines()))} letters"
        return None


def warm() -> None:
    """Import what commands import, once."""
    import sklearn.metrics
    import sklearn.model_selection  # noqa: F401

    import mtl_cli.cli.card
    import mtl_cli.cli.compare
    import mtl_cli.cli.evaluate
    import mtl_cli.cli.export
    import mtl_cli.cli.predict
    import mtl_cli.cli.train
    import mtl_cli.reports.console
    import mtl_cli.reports.plots
    import mtl_cli.reports.progress
    import mtl_cli.studies.job
    import mtl_cli.training.run  # noqa: F401


def command(words: Sequence[str], folder: Path, cpu: int = CPU_SECONDS) -> Came:
    """Run ``mtl`` with these words, in a folder."""
    return forked(lambda: _mtl(words), folder, cpu)


def _mtl(words: Sequence[str]) -> int:
    from mtl_cli.cli.main import run

    return run(list(words))


def forked(work: Callable[[], int], folder: Path, cpu: int = CPU_SECONDS) -> Came:
    """Do some work, which returns a status, in a fork."""
    pipes = [os.pipe(), os.pipe()]  # which no bound on the size of files cuts off
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = _child(work, folder, cpu, *(end for _, end in pipes))
        finally:
            os._exit(status)
    for _, end in pipes:
        os.close(end)
    with ThreadPoolExecutor(len(pipes)) as pool:
        texts = list(pool.map(_text, [start for start, _ in pipes]))
    _, ended, used = os.wait4(child, 0)
    return Came(os.waitstatus_to_exitcode(ended), *texts, used.ru_utime + used.ru_stime)


def _text(pipe: int) -> str:
    with os.fdopen(pipe, "rb") as stream:
        return stream.read().decode("utf-8", "replace")


def _child(work: Callable[[], int], folder: Path, cpu: int, out: int, err: int) -> int:
    import traceback

    os.dup2(out, 1)
    os.dup2(err, 2)
    sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8") for number in (1, 2))
    os.chdir(folder)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    try:
        status = work()
    except SystemExit as stop:
        status = stop.code if isinstance(stop.code, int) else 0
    except BaseException:  # noqa: BLE001  that is what is looked for
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    return status


def main(name: str, check: Callable[[int, int], str], words: Sequence[str]) -> int:
    """Check so many cases of a seed, ``N SEED [FIRST]``; print what is wrong, and how many went how.

    ``check`` takes the seed and the number of a case and returns how it went; it raises AssertionError if wrong.
    """
    count, seed, first = [*map(int, words), *[1000, 0, 0][len(words) :]]
    warm()
    began, went, faults = time.monotonic(), dict[str, int](), 0
    for number in range(first, first + count):
        try:
            came = check(seed, number)
        except AssertionError as error:
            came, faults = "wrong", faults + 1
            print(f"case {number}: {error}", flush=True)
        went[came] = went.get(came, 0) + 1
        tried = sum(went.values())
        if tried in (count, 10, 30) or tried % 100 == 0:
            told = ", ".join(f"{came} {times}" for came, times in sorted(went.items()))
            print(f"{tried} {name}, seed {seed}: {faults} faults; {told}; {time.monotonic() - began:.0f} s", flush=True)
    return int(faults > 0)
