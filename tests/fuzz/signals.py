"""Signals at random moments of the installed command: `python -m tests.fuzz.signals 200 SEED`.

From the first import to the last picture, SIGINT and SIGTERM end a run within seconds of the processor, with 130 or 143
and without a traceback; its status is 0 only if it is done. What was begun can be resumed, and ends as if nothing had
happened. What is found wrong is printed with the number of the case.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.kills import differences

MTL = Path(sys.executable).with_name("mtl")
WORDS = (
    "train", "dataset=wine", "trainer.epochs=6", "trainer.folds=none", "trainer.baselines=[ridge,boosting]",
    "model.trunk.dropout=0.1", "device=cpu", "run_dir=run",
)  # fmt: skip
SECONDS = 5.0
"""Of the processor, in which a signal must end the command, however much else the machine has to do."""
RESUMED = 0.15
"""The share of the runs that are resumed."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Parameters
    ----------
    status : int
        Negative if a signal ended it by Python's or the system's own doing, before or after what is ours.
    seconds : float
        Of the processor, since the signal.
    """

    status: int
    out: str
    err: str
    seconds: float


def interrupted(folder: Path, number: signal.Signals, when: Callable[[], bool], *words: str) -> Ended:
    """Run the command in a folder, send it a signal when it is time, and return how it ended."""
    before = _children()
    process = subprocess.Popen(
        [MTL, *(words or WORDS)], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not when():
        time.sleep(0.002)
    ended, taken = process.poll() is not None, _used(process.pid)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return Ended(process.returncode, out, err, 0.0 if ended else _children() - before - taken)


def _children() -> float:
    """Return the seconds of the processor of all processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _used(process: int) -> float:
    """Return the seconds of the processor of a process that is not yet waited for."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def check(folder: Path, number: signal.Signals, ended: Ended, seconds: float = SECONDS) -> str:
    """Return how a command that got a signal ended, in a word. Raises AssertionError if it should not have."""
    shown = f"{number.name}: status {ended.status} after {ended.seconds:.1f} s: {ended.err[-900:]}"
    record = folder / "run" / "run.json"
    status = json.loads(record.read_text())["status"] if record.exists() else "nothing"
    if "Traceback" in ended.err and "mtl_cli" not in ended.err and status == "nothing":
        return "Python itself was starting"
    assert "Traceback" not in ended.err, shown
    assert ended.seconds < seconds, shown
    if ended.status == 0:
        assert (status, json.loads(ended.out)["status"]) == ("done", "done"), f"{status}; {shown}"
        return "done before"
    code = 130 if number == signal.SIGINT else 143
    assert ended.status in (code, -number), shown
    word = "interrupted" if number == signal.SIGINT else "terminated"
    assert status in ("nothing", word, "done"), f"{status}; {shown}"
    assert not [path for path in folder.rglob(".*") if path.is_file()], "a file is left half written"
    return "before the run" if status == "nothing" else f"in the run, {status}"


def resume(folder: Path) -> None:
    """Resume what was begun."""
    done = subprocess.run([MTL, "train", "resume=run"], cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-900:]


def main(times: int, seed: int) -> int:
    """Send so many signals, and return 1 if any command ended otherwise than it should."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background begins without it
    faults, counts, slowest = 0, dict[str, int](), 0.0
    with tempfile.TemporaryDirectory() as place:
        whole = Path(place) / "whole"
        whole.mkdir()
        began = time.monotonic()
        subprocess.run([MTL, *WORDS], cwd=whole, capture_output=True, check=True)
        length = time.monotonic() - began
        print(f"a run takes {length:.1f} s", flush=True)
        for case in range(times):
            draw, folder = random.Random(f"{seed} {case}"), Path(place) / str(case)
            folder.mkdir()
            number, until = draw.choice([signal.SIGINT, signal.SIGTERM]), time.monotonic() + draw.uniform(0, length)
            try:
                ended = interrupted(folder, number, lambda until=until: time.monotonic() >= until)  # type: ignore[misc]
                came = check(folder, number, ended)
                counts[came] = counts.get(came, 0) + 1
                slowest = max(slowest, ended.seconds)
                if (folder / "run" / "config.yaml").exists() and draw.random() < RESUMED:
                    resume(folder)
                    wrong = differences(whole / "run", folder / "run")
                    assert not wrong, f"resumed, but {', '.join(wrong)} differ"
                    counts["resumed"] = counts.get("resumed", 0) + 1
            except AssertionError as error:
                faults += 1
                print(f"{case}: {error}", flush=True)
            shutil.rmtree(folder)
    told = ", ".join(f"{came} {count}" for came, count in sorted(counts.items()))
    print(f"{times} signals, {faults} faults; {told}; the slowest took {slowest:.1f} s")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
