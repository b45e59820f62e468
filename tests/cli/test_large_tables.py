"""Tables that are large for the memory: measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

TRAIN = """
import sys
from mtl_cli.cli.main import run
assert run(sys.argv[1:]) == 0
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:"))
print(peak, file=sys.stderr)  # not ru_maxrss, which begins with that of the process that started this one
"""


@pytest.mark.slow
def test_eleven_thousand_levels_of_categories_train_in_little_memory(tmp_path: Path) -> None:
    random, rows = np.random.default_rng(0), 60_000
    shop, item = (np.concatenate([np.arange(n), random.integers(0, n, rows - n)]) for n in (8000, 3000))
    y = random.normal(size=8000)[shop] + random.normal(size=3000)[item] + random.normal(size=rows) * 0.3
    table = pd.DataFrame({"shop": [f"s{i}" for i in shop], "item": [f"i{i}" for i in item], "y": y.round(4)})
    table.to_csv(tmp_path / "t.csv", index=False)
    words = ["train", f"dataset={tmp_path / 't.csv'}", "tasks={y: regression}", "dataset.features.min_count=1"]
    words += ["trainer.epochs=1", "trainer.batch_size=512", "plots=false", f"run_dir={tmp_path / 'run'}"]
    found = subprocess.run([sys.executable, "-c", TRAIN, *words], capture_output=True, text=True, check=True)
    assert int(found.stderr.splitlines()[-1]) / 2**20 < 0.6, "GiB; as ones and zeros the inputs alone take 2.5"
