"""The tables of a run that are kept, in a form that is small and holds no times."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

KEPT = Path(__file__).parent
ROWS = 60
"""How many predictions are kept at most, evenly spaced."""

Tables = dict[str, pd.DataFrame]


def read_run(run: Path) -> Tables:
    """Return what is kept of a run: its history, weights, predictions and scores."""
    (weights,) = run.glob("*_weights.csv")
    predictions = read(run / "predictions.csv")
    metrics = json.loads((run / "metrics.json").read_text())
    scores = {"epoch": metrics["epoch"], "score": metrics["score"]}
    for name in ("train", "val", "test"):
        scores |= {f"{name}_{key}": metrics["splits"][name][key] for key in ("rows", "score")}
    return {
        "history": read(run / "mtl_history.csv").drop(columns="seconds"),
        "weights": read(weights),
        "predictions": predictions[:: -(-len(predictions) // ROWS)].reset_index(drop=True),
        "scores": pd.DataFrame([scores]),
    }


def read_kept(name: str) -> Tables:
    """Return what was kept of a run, as ``read_run`` returns it."""
    return {path.stem: read(path) for path in sorted((KEPT / name).glob("*.csv"))}


def write_kept(name: str, tables: Tables) -> None:
    """Keep a run; numbers to seven digits, which is what float32 holds."""
    (KEPT / name).mkdir(exist_ok=True)
    for table, frame in tables.items():
        frame.to_csv(KEPT / name / f"{table}.csv", index=False, float_format="%.7g")


def read(path: Path) -> pd.DataFrame:
    """Return a table; only an empty cell is a missing value."""
    return pd.read_csv(path, keep_default_na=False, na_values=[""])
