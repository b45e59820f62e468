"""Kills a study of twelve jobs and starts it again: `python -m tests.fuzz.studies 10 SEED` kills it so often.

It is killed by SIGKILL at random moments. Each time the same command goes on: with what is missing, and from the
checkpoint of what was cut off. In the end `study.csv` and every run are those of a study that was never killed.
"""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.kills import COMMON, PRELOAD, Kill, differences, run
from tests.warm import SERVER

WORDS = (
    "-m", "dataset=wine", "balancer=uniform,gradnorm,uw,upgrad", "seed=0,1,2", "trainer.epochs=4", "trainer.folds=none",
    "model.trunk.dropout=0.2", "trainer.checkpoint.every=5 steps", *COMMON, "run_dir=run",
)  # fmt: skip
JOBS = 12


def check(times: int, seed: int) -> str:
    """Make a study that is killed so often; return how many times it was, and how long a whole one takes."""
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        whole, cut = Path(place) / "whole", Path(place) / "cut"
        for folder in (whole, cut):
            folder.mkdir()
        began = time.monotonic()
        assert run(WORDS, whole) == 0, (whole / "err").read_text()[-900:]
        seconds, kills = time.monotonic() - began, 0
        while kills < times:
            status = run(WORDS, cut, Kill(seconds=draw.uniform(0.5, 2) * seconds / times))
            if status == 0:
                break
            assert status == -signal.SIGKILL, f"status {status}: {(cut / 'err').read_text()[-900:]}"
            kills += 1
        assert run(WORDS, cut) == 0, (cut / "err").read_text()[-900:]
        assert len(list((cut / "run").glob("*/mtl_model.pt"))) == JOBS
        wrong = differences(whole / "run", cut / "run")
        assert not wrong, f"{', '.join(wrong[:5])} differ after {kills} kills"
    return f"a study of {JOBS} jobs in {seconds:.1f} s, killed {kills} times, is the same"


if __name__ == "__main__":
    SERVER.set_forkserver_preload(["torch", "pandas", *PRELOAD])
    print(check(int(sys.argv[1]), int(sys.argv[2])))
    sys.exit(0)
