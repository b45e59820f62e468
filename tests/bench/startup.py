"""`python -m tests.bench.startup`: CPU time until `mtl` answers.

The bounds are 0.2 s for help and 1 s for a wrong config.
"""

from __future__ import annotations

import sys

from tests.bench.measure import cpu_seconds, report

MTL = [sys.executable, "-m", "mtl_cli"]

if __name__ == "__main__":
    report(
        cpu_seconds(
            {
                "mtl --help": [*MTL, "--help"],
                "mtl train --help": [*MTL, "train", "--help"],
                "mtl train, a wrong option and a wrong value": [*MTL, "train", "dataset=wine", "balancer=x", "seed=x"],
                "mtl train, a wrong value": [*MTL, "train", "dataset=wine", "optimizer.lr=abc"],
            },
            rounds=7,
        )
    )
