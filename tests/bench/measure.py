"""CPU seconds of whole processes, in turn, so that a drift of the machine's speed falls on all alike."""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path


def cpu_seconds(commands: dict[str, Sequence[str]], rounds: int) -> dict[str, list[float]]:
    """Run the commands in turn, after a warm-up each; return user + system seconds of every run."""
    found: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for round_number in range(rounds + 1):
            for name, command in commands.items():
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                if round_number:
                    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                    found[name].append(spent)
    return found


def checkout(text: str) -> Path:
    """Return the folder of another version of mtl, for argparse: with any other, the one here would run unseen."""
    found = Path(text).resolve()
    if not (found / "mtl_cli" / "__main__.py").is_file():
        raise argparse.ArgumentTypeError(f"{text} is no checkout of mtl")
    return found


def report(found: dict[str, list[float]], base: str | None = None) -> None:
    """Print the median of each command, and its ratio to ``base`` round by round."""
    print(f"{'':42} {'cpu s':>7} {'min':>7} {'max':>7}" + (f" {'ratio':>7}" if base else ""))
    for name, seconds in found.items():
        line = f"{name:42} {statistics.median(seconds):7.3f} {min(seconds):7.3f} {max(seconds):7.3f}"
        if base:
            line += f" {statistics.median(a / b for a, b in zip(seconds, found[base], strict=True)):7.3f}"
        print(line)
    print(f"median of {len(next(iter(found.values())))} runs each, {os.cpu_count()} cores")
