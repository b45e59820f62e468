"""`python -m tests.bench.tabular`: the squared error on red wine, of trees and of `mtl`, on rows none of them has seen.

Mean over seeds 0 to 4 of the MSE of `quality`, on the 320 test rows of `dataset=wine` and on the 256 that repeat no row
trained or chosen on. scikit-learn's models have their default settings, the forests 500 trees, and learn from all 1279
other rows; `mtl` keeps 160 of these for validation. Its settings were chosen by cross-validation on the 1279, by hand.
It takes minutes.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from mtl_cli.cli.main import run
from tests.bench.plain_wine import DATA

SEEDS = range(5)
TREES: dict[str, Callable[[int], Any]] = {
    "random forest": lambda seed: RandomForestRegressor(500, random_state=seed),
    "extra trees": lambda seed: ExtraTreesRegressor(500, random_state=seed),
    "histogram boosting": lambda seed: HistGradientBoostingRegressor(random_state=seed),
    "support vector machine": lambda seed: make_pipeline(StandardScaler(), SVR()),
}
TABM = ["model=tabm", "optimizer=adamw", "scheduler=cosine", "trainer.epochs=40", "trainer.early_stopping=null"]
RECIPES: dict[str, list[str]] = {
    "`mtl train dataset=wine`": [],
    f"`mtl train dataset=wine {' '.join(TABM)}`": TABM,
    "the same, `balancer=gradnorm`": [*TABM, "balancer=gradnorm"],
    "the same, `model.trunk.embeddings.kind=periodic`": [*TABM, "model.trunk.embeddings.kind=periodic"],
    "the same, `model.trunk.embeddings.kind=piecewise`": [*TABM, "model.trunk.embeddings.kind=piecewise"],
}


def rows() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs and labels, the rows not for testing, the test rows, and which of these are unseen."""
    table = pd.read_csv(DATA, sep=";")
    features = table.drop(columns="quality")
    kin = features.groupby(list(features.columns)).ngroup().to_numpy()
    others, test = train_test_split(np.arange(len(table)), test_size=0.2, random_state=42)
    return features.to_numpy(), table["quality"].to_numpy(), others, test, ~np.isin(kin[test], kin[others])


def scikit_learn(make: Callable[[int], Any]) -> list[tuple[float, float]]:
    """Return the errors on all test rows and on unseen ones, by seed."""
    inputs, labels, others, test, unseen = rows()
    found = []
    for seed in SEEDS:
        squares = (make(seed).fit(inputs[others], labels[others]).predict(inputs[test]) - labels[test]) ** 2
        found.append((float(squares.mean()), float(squares[unseen].mean())))
    return found


def mtl(arguments: list[str]) -> list[tuple[float, float]]:
    """Return the same of a command."""
    found = []
    for seed in SEEDS:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run(["train", "dataset=wine", *arguments, f"seed={seed}", "plots=false"])
        if status:
            raise SystemExit(err.getvalue())
        metrics = Path(json.loads(out.getvalue())["run_dir"]) / "metrics.json"
        splits = json.loads(metrics.read_text())["splits"]
        found.append(tuple(splits[part]["tasks"]["quality"]["mse"] for part in ("test", "test_unseen")))
    return found


def main() -> None:
    print("| MSE of `quality`, mean over seeds 0 to 4 (lowest to highest) | all test rows | unseen rows |")
    print("|---|---|---|")
    work = {name: (scikit_learn, make) for name, make in TREES.items()}
    work |= {name: (mtl, arguments) for name, arguments in RECIPES.items()}
    for name, (measure, what) in work.items():
        if sys.argv[1:] and not any(part in name for part in sys.argv[1:]):
            continue
        columns = zip(*measure(what), strict=True)
        cells = [f"{statistics.mean(c):.3f} ({min(c):.3f} to {max(c):.3f})" for c in columns]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        main()
