"""Cases of a fuzzer in forks of a warm process, within bounds of time, memory and what they may write.

Many cases share a fork. One that goes wrong there, or takes the fork with it, is tried again in a fork of its own.
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

CPU_SECONDS, MEMORY = 10, 2 * 2**30
"""What a case may take beyond what the warm process has."""
TOGETHER, GROWN = 500, 2**29
"""How many cases share a fork, unless they leave so many bytes in it."""
LONGEST = 120
"""Seconds on the clock after which a case is taken to hang."""
Check = Callable[[int, int], str]
"""Takes the seed and the number of a case and returns how it went; raises AssertionError if it went wrong."""


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
    import matplotlib.font_manager
    import matplotlib.pyplot  # noqa: F401
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


def mtl(words: Sequence[str]) -> int:
    """Run ``mtl`` with these words."""
    from mtl_cli.cli.main import run

    return run(list(words))


def command(words: Sequence[str], folder: Path) -> Came:
    """Run ``mtl`` with these words in a folder, in this process."""
    files = [os.memfd_create(name) for name in ("out", "err")]
    own, streams, began = [os.dup(1), os.dup(2)], (sys.stdout, sys.stderr), time.process_time()
    for number, file in enumerate(files, 1):
        os.dup2(file, number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8", closefd=False) for number in (1, 2))
    try:
        status = _status(lambda: mtl(words), folder)
    finally:
        sys.stdout, sys.stderr = streams
        for number, kept in enumerate(own, 1):
            os.dup2(kept, number)
            os.close(kept)
    for file in files:
        os.lseek(file, 0, os.SEEK_SET)
    out, err = map(_text, files)
    return Came(status, out, err, time.process_time() - began)


def _status(work: Callable[[], int], folder: Path) -> int:
    """Do work in a folder and write out what it has said."""
    os.chdir(folder)
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


def forked(work: Callable[[], int], folder: Path, cpu: int = CPU_SECONDS) -> Came:
    """Do some work, which returns a status, in a fork."""
    pipes = [os.pipe(), os.pipe()]  # which no bound on the size of files cuts off
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            for number, (_, end) in enumerate(pipes, 1):
                os.dup2(end, number)
            sys.stdout, sys.stderr = (os.fdopen(os.dup(number), "w", encoding="utf-8") for number in (1, 2))
            resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu + 1))
            _bound_memory()
            status = _status(work, folder)
        finally:
            os._exit(status)
    for _, end in pipes:
        os.close(end)
    with ThreadPoolExecutor(len(pipes)) as pool:
        out, err = pool.map(_text, [start for start, _ in pipes])
    _, ended, used = os.wait4(child, 0)
    return Came(os.waitstatus_to_exitcode(ended), out, err, used.ru_utime + used.ru_stime)


def _text(file: int) -> str:
    with os.fdopen(file, "rb") as stream:
        return stream.read().decode("utf-8", "replace")


def _used(place: int) -> int:
    """Return the bytes this process has: 0 of addresses, 1 in memory."""
    return int(Path("/proc/self/statm").read_text().split()[place]) * resource.getpagesize()


def _bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_used(0) + MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))


def results(check: Check, seed: int, numbers: Sequence[int]) -> Iterator[tuple[int, str, str | None]]:
    """Yield for each case its number, how it went, and what is wrong."""
    waiting = list(numbers)
    while waiting:
        went, ended = _together(check, seed, waiting[:TOGETHER])
        for number, (came, wrong) in zip(waiting, went, strict=False):
            yield number, *(_alone(check, seed, number, wrong) if wrong else (came, None))
        waiting = waiting[len(went) :]
        if ended is not None:
            number, *waiting = waiting
            yield number, *_alone(check, seed, number, ended)


def _alone(check: Check, seed: int, number: int, before: str) -> tuple[str, str]:
    """Check a case, which went wrong among others, in a fork of its own."""
    went, ended = _together(check, seed, [number])
    return "wrong", ended or went[0][1] or f"only among others: {before}"


def _together(check: Check, seed: int, numbers: Sequence[int]) -> tuple[list[tuple[str, str | None]], str | None]:
    """Check cases in one fork. Return how they went and what is wrong, and what ended the fork before its time."""
    start, end = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.close(start)
            with os.fdopen(end, "w", encoding="utf-8") as told:
                for found in _cases(check, seed, numbers):
                    print(json.dumps(found), file=told, flush=True)
            status = 0
        finally:
            os._exit(status)
    os.close(end)
    went = [tuple(json.loads(line)) for line in _text(start).splitlines()]
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    kinds = {-signal.SIGPROF: f"over {CPU_SECONDS} s of the processor", -signal.SIGALRM: f"over {LONGEST} s"}
    return went, kinds.get(status, f"status {status}") if status else None


def _cases(check: Check, seed: int, numbers: Sequence[int]) -> Iterator[tuple[str, str | None]]:
    """Check cases one after another in this process, until they have left too much in it."""
    began = _used(1)
    with tempfile.TemporaryDirectory(prefix="mtl-fuzz-") as place:
        tempfile.tempdir = os.environ["HOME"] = os.environ["TMPDIR"] = place
        for number in numbers:
            signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            _bound_memory()
            yield _case(check, seed, number, Path(place))
            if _used(1) - began > GROWN:
                return


def _case(check: Check, seed: int, number: int, place: Path) -> tuple[str, str | None]:
    there = _files(place)
    try:
        came = check(seed, number)
    except AssertionError as error:
        return "wrong", str(error)
    except Exception as error:  # noqa: BLE001  that is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "wrong", f"{type(error).__name__} at {Path(last.filename).name}:{last.lineno}: {error}"[:900]
    made = sorted(map(str, _files(place) - there))
    return came, f"{made} were left behind" if made else None


def _files(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if not path.is_dir()}


def sample(
    check: Check, seed: int, count: int, before: Callable[[], object] = dict
) -> tuple[dict[str, int], list[str]]:
    """Check some cases; return how many went how, and what was wrong."""
    warm()
    before()
    found = list(results(check, seed, range(count)))
    wrong = [f"case {number}: {text}" for number, _, text in found if text is not None]
    return dict(collections.Counter(came for _, came, _ in found)), wrong


def main(name: str, check: Check, words: Sequence[str], before: Callable[[], object] = dict) -> int:
    """Check so many cases of a seed, ``N SEED [FIRST]``; print what is wrong, and how many went how.

    ``before`` is done first, for what cases share.
    """
    count, seed, first = [*map(int, words), *[1000, 0, 0][len(words) :]]
    warm()
    before()
    began, went, faults = time.monotonic(), collections.Counter[str](), 0
    for number, came, wrong in results(check, seed, range(first, first + count)):
        went[came] += 1
        if wrong is not None:
            faults += 1
            print(f"case {number}: {wrong}", flush=True)
        tried = went.total()
        if tried == count or tried % 500 == 0:
            told = ", ".join(f"{came} {times}" for came, times in sorted(went.items()))
            seconds = time.monotonic() - began
            print(f"{tried} {name}, seed {seed}: {faults} faults; {told}; {seconds:.0f} s", flush=True)
    return int(faults > 0)
