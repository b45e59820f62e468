"""A table whose importance is known, and a run that has learnt it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import mtl_cli
from mtl_cli.inference.explain.rows import Explained, explained
from mtl_cli.inference.trained import TrainedModel


def planted(rows: int = 1500, seed: int = 0) -> pd.DataFrame:
    """`price` needs a, and b less; `sold` needs c and d only as a product; `rent` needs what e and f both are.

    `noise` and `word` are of no use to any task.
    """
    random = np.random.default_rng(seed)
    a, b, c, d, e, noise = random.normal(size=(6, rows))
    return pd.DataFrame(
        {
            "a": a, "b": b, "c": c, "d": d, "e": e, "f": e + random.normal(0, 0.1, rows), "noise": noise,
            "word": random.choice(["x", "y", "z"], rows),
            "price": 2 * a + 0.7 * b + random.normal(0, 0.2, rows), "sold": np.where(c * d > 0, "yes", "no"),
            "rent": e + random.normal(0, 0.2, rows),
        }
    )  # fmt: skip


@pytest.fixture(scope="session")
def planted_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    planted().to_csv(folder / "planted.csv", index=False)
    mtl_cli.train(
        f"dataset={folder / 'planted.csv'}", run_dir=folder / "run", plots=False, balancer="pcgrad",
        tasks={"price": "regression", "sold": "binary", "rent": "regression"},
        trainer={"epochs": 40}, optimizer={"lr": 0.01},
        model={"trunk": {"hidden": [32, 16], "embeddings": {"kind": "none"}}},
    )  # fmt: skip
    return folder / "run"


@pytest.fixture(scope="session")
def planted_rows(planted_run: Path) -> Explained:
    """The run's test rows."""
    model = TrainedModel.load(str(planted_run))
    return explained(model, model.test_rows(print)[0], print)
