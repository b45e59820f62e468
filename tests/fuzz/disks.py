"""Disks that are full at any byte: `python -m tests.fuzz.disks 300 SEED`.

No file of a run, or of predictions, can grow beyond some bytes, or all together cannot (on a small tmpfs, as root). A
command then ends in one line, or well; what stands under a final name is whole, and nothing is left half written.
"""

from __future__ import annotations

import csv
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.forks import forked, main, mtl
from tests.fuzz.runs import WORDS, whole

PREDICT = ("predict", "run", "x.csv", "-o", "scored.csv")


def check(seed: int, number: int) -> str:
    """Run a command on a disk that is nearly full; return how it went."""
    draw = random.Random(f"{seed}/{number}")
    place = Path(tempfile.mkdtemp(prefix="mtl-fuzz-"))
    mounted = False
    try:
        resumed = draw.random() < 0.4
        limit = int(draw.choice([10, 100, 1000, 20_000, 100_000]) * draw.uniform(0.1, 4))
        arguments = (
            draw.choice([list(PREDICT), ["train", "resume=run", "trainer.epochs=4"]])
            if resumed
            else [*WORDS, "run_dir=run", "plots=true"]
        )
        by_mount = draw.random() < 0.5 and os.geteuid() == 0 and sys.platform == "linux"
        if by_mount:
            size = limit + (300_000 if resumed else 0)
            mounted = (
                subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]).returncode == 0
            )
        if resumed:
            try:
                shutil.copytree(whole() / "run", place / "run")
                shutil.copy(whole() / "x.csv", place / "x.csv")
            except (OSError, shutil.Error):
                return "too small to begin"
        if by_mount:
            came = forked(lambda: mtl(arguments), place, cpu=60)
        else:
            came = forked(lambda: _limited(arguments, limit), place, cpu=60)
        shown = f"{arguments[0]} {'mount' if by_mount else 'limit'} {limit}"
        fault = came.fault()
        assert fault is None, f"{shown}: {fault}"
        left = [path for path in place.rglob(".*-*") if path.is_file()]
        assert not left, f"{shown}: {left} are left half written"
        for path in place.rglob("*"):
            _check_whole(path, shown)
        return f"{'again' if resumed else 'anew'} {'done' if came.status == 0 else 'refused'}"
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(place)], check=True)
        shutil.rmtree(place, ignore_errors=True)


def _limited(arguments: list[str], limit: int) -> int:
    sys.dont_write_bytecode = True  # or Python 3.11 leaves compiled modules that are cut off
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    return mtl(arguments)


def _check_whole(path: Path, shown: str) -> None:
    if path.suffix == ".json":
        json.loads(path.read_text())
    elif path.suffix == ".csv" and path.stat().st_size:
        text = path.read_text()
        assert text.endswith("\n"), f"{shown}: {path.name} ends within a row"
        assert len({len(row) for row in csv.reader(text.splitlines())}) == 1, f"{shown}: {path.name} has a row cut off"
    elif path.suffix == ".pt":
        import torch

        torch.load(path, weights_only=True)


if __name__ == "__main__":
    sys.exit(main("full disks", check, sys.argv[1:], before=whole))
