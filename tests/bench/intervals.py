"""`python -m tests.bench.intervals [SPLITS] [TABLE …]`: how many test labels are in intervals and sets of 90 %.

Mean and standard error over splits into training, validation and test rows (`dataset.split.seed`): with five folds, as
by default where rows are few, and on one split. A test set of n rows is off by 0.3 / √n by chance alone. Training is
short, which changes how wide the intervals are, not what they hold. It takes minutes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

from mtl_cli.cli.main import run

SHORT = ["trainer.epochs=60", "trainer.early_stopping.patience=10", "plots=false"]
WAYS = {"folds": ["trainer.folds=5"], "one split": ["trainer.folds=none", "dataset.split.val=0.2"]}
TABLES: dict[str, list[str]] = {
    "wine": ["dataset=wine", "tasks.quality.interval=0.9", "tasks.is_good.interval=0.9"],
    "diabetes": ["dataset=diabetes.csv", "tasks={progression: {kind: regression, interval: 0.9}}"],
    "cancer": ["dataset=cancer.csv", "tasks={benign: {kind: binary, interval: 0.9}, radius: {kind: regression,"
    " interval: 0.9}}"],
    "made": ["dataset=made.csv", "tasks={y: {kind: regression, interval: 0.9}, c: {kind: multiclass, interval: 0.9}}"],
}  # fmt: skip


def write_tables() -> None:
    """Write the tables that are not in the package into the working folder."""
    table = datasets.load_diabetes(as_frame=True).frame.rename(columns={"target": "progression"})
    table.to_csv("diabetes.csv", index=False)
    table = datasets.load_breast_cancer(as_frame=True).frame
    table.columns = [name.replace(" ", "_") for name in table.columns]
    kept = [name for name in table if name.startswith("mean_") and name not in ("mean_perimeter", "mean_area")]
    table = table[[*kept, "target"]].rename(columns={"target": "benign", "mean_radius": "radius"})
    table.to_csv("cancer.csv", index=False)
    random = np.random.default_rng(0)
    inputs = random.normal(size=(4000, 6))
    y = inputs[:, 0] * inputs[:, 1] + np.sin(2 * inputs[:, 2]) + 0.5 * random.standard_t(4, 4000)
    scores = inputs @ random.normal(size=(6, 4)) + random.gumbel(size=(4000, 4))
    made = pd.DataFrame(inputs, columns=[f"x{i}" for i in range(6)])
    made.assign(y=y, c=[f"c{i}" for i in scores.argmax(1)]).to_csv("made.csv", index=False)


def measured(words: list[str], seed: int) -> dict[str, tuple[float, float]]:
    """Return coverage and mean size by task."""
    folder = tempfile.mkdtemp()
    settings = [f"dataset.split.seed={seed}", f"seed={seed}", f"run_dir={folder}", *SHORT]
    with contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(io.StringIO()):
        status = run(["train", *words, *settings])
    if status:
        raise SystemExit(said.getvalue())
    tasks = json.loads(Path(folder, "metrics.json").read_text())["splits"]["test"]["tasks"]
    return {name: (task["coverage"], task.get("width", task.get("set_size"))) for name, task in tasks.items()}


def main(splits: int, names: list[str]) -> None:
    """Print a line per task."""
    os.chdir(tempfile.mkdtemp())
    write_tables()
    print("| table | rows held out by | task | coverage | standard error | mean size |\n|---|---|---|---|---|---|")
    for name in names or TABLES:
        for way, words in WAYS.items():
            found = [measured([*TABLES[name], *words], seed) for seed in range(splits)]
            for task in found[0]:
                covered, sizes = zip(*(one[task] for one in found), strict=True)
                error = statistics.stdev(covered) / len(covered) ** 0.5
                mean, size = statistics.mean(covered), statistics.mean(sizes)
                print(f"| {name} | {way} | {task} | {mean:.3f} | {error:.3f} | {size:.3g} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10, sys.argv[2:])
