"""`python -m tests.bench.wine [--before CHECKOUT]`: whole-process CPU time of runs on wine.

The plain recipe against the same as a script: the bound is a ratio of 1.3 for `mtl train experiment=wine_baseline`,
imports, config, artifacts and pictures included. With CHECKOUT, an older version of the project, also `mtl train
dataset=wine balancer=gradnorm` against that one's, with what was the default at 7480ec2: the bound is 1.05.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.bench.measure import checkout, cpu_seconds, report

MTL = [sys.executable, "-m", "mtl_cli", "train"]
PLAIN = [*MTL, "experiment=wine_baseline"]
SCRIPT = [sys.executable, str(Path(__file__).with_name("plain_wine.py"))]
GRADNORM = [*MTL, "dataset=wine", "balancer=gradnorm"]
AS_BEFORE = [
    "trainer.folds=none",
    "trainer.baselines=none",
    "trainer.checkpoint.every=none",
    "trainer.epochs=200",
    "trainer.early_stopping.patience=30",
    "model.trunk.embeddings.kind=none",
]

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--before", type=checkout, metavar="CHECKOUT")
    given = parser.parse_args()
    commands = {"plain script": SCRIPT, "mtl": PLAIN, "mtl, plots=false": [*PLAIN, "plots=false"]}
    report(cpu_seconds(commands, rounds=7), base="plain script")
    if given.before is not None:
        older = ["env", f"PYTHONPATH={given.before}", *GRADNORM]
        commands = {"gradnorm, before": older, "gradnorm, as before": [*GRADNORM, *AS_BEFORE]}
        report(cpu_seconds(commands, rounds=9), base="gradnorm, before")
