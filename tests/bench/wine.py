"""`python -m tests.bench.wine`: whole-process CPU time of the plain wine recipe, against the same as a script.

The bound is a ratio of 1.3 for `mtl train experiment=wine_baseline`, imports, config, artifacts and pictures included.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.bench.measure import cpu_seconds, report

MTL = [sys.executable, "-m", "mtl_cli", "train", "experiment=wine_baseline"]
SCRIPT = [sys.executable, str(Path(__file__).with_name("plain_wine.py"))]

if __name__ == "__main__":
    commands = {"plain script": SCRIPT, "mtl": MTL, "mtl, plots=false": [*MTL, "plots=false"]}
    report(cpu_seconds(commands, rounds=7), base="plain script")
