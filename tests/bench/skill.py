"""One cell of the benchmark of the defaults: a method learns from rows of a table and is measured on others."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import KFold, train_test_split

import mtl_cli
from tests.bench.rivals import predict_rival
from tests.bench.tables import load

Said = dict[str, Any]
"""By task: numbers, or a column of probabilities per class, as text."""


@dataclass(frozen=True)
class Cell:
    """What one process is to do.

    Parameters
    ----------
    table, method : str
    number : int
        Of the split, from 0; also the seed.
    folds : int
        Parts of the table of which one is measured on; 0 draws a fifth of the rows.
    words : list of str, optional
        Settings of ``mtl``; None says that the method is a rival.
    older : Path, optional
        The checkout whose ``mtl`` it is, if not this one.
    ends : float
        The time (``time.time``) after which a program of an older checkout ends itself.
    """

    table: str
    method: str
    number: int
    folds: int
    words: list[str] | None
    older: Path | None
    ends: float

    @property
    def split(self) -> str:
        """The name of the split."""
        return f"fold {self.number + 1} of {self.folds}" if self.folds else str(self.number)


def run(cell: Cell) -> list[list[str]]:
    """Return the rows of the results, one for each task: see ``defaults.COLUMNS``."""
    table, tasks = _table(cell.table)
    train, test = rows(cell.table, len(table), cell.number, cell.folds)
    known, asked = table.iloc[train].reset_index(drop=True), table.iloc[test].reset_index(drop=True)
    start = time.process_time()
    if cell.words is None:
        said = predict_rival(cell.method, known, asked, dict(tasks), cell.number)
        seconds = time.process_time() - start
    elif cell.older is None:
        said = predict_mtl(cell.words, known, asked, dict(tasks), cell.number)
        seconds = time.process_time() - start
    else:
        said, seconds = predict_older(cell.older, cell.words, known, asked, dict(tasks), cell.number, cell.ends)
    found = []
    for task in tasks:
        error, constant = measure(said[task], asked[task], known[task])
        numbers = [f"{value:.6g}" for value in (1 - error / constant, error, constant, seconds)]
        found.append([cell.table, cell.split, cell.method, task, *numbers, " ".join(cell.words or [])])
    return found


_table = functools.lru_cache(maxsize=4)(load)


def rows(name: str, count: int, number: int, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to learn from and to be measured on, in a split of a table."""
    if folds:
        parts: Sequence[Any] = list(
            KFold(folds, shuffle=True, random_state=zlib.crc32(name.encode())).split(np.arange(count))
        )
        return parts[number][0], parts[number][1]
    train, test = train_test_split(np.arange(count), test_size=0.2, random_state=number)
    return train, test


def predict_mtl(words: list[str], train: pd.DataFrame, test: pd.DataFrame, tasks: dict[str, str], seed: int) -> Said:
    """Return what a network says of the test rows; it chooses its own validation rows among those to learn from."""
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(train, test, folder)
        run = mtl_cli.train(
            f"dataset={paths[0]}", "dataset.split.test=0", f"seed={seed}", f"dataset.split.seed={seed}",
            "plots=false", "device=cpu", "dataset.features.include=['*']", f"run_dir={folder}/run", *words,
            tasks=dict(tasks),
        )  # fmt: skip
        model = run.model().model
        answers = model.predict(model.read(str(paths[1]), _ignore), _ignore, probabilities=True)
    found: Said = {}
    for task, kind in tasks.items():
        start = f"predicted_{task}_prob_"
        if kind == "regression":
            found[task] = answers[f"predicted_{task}"].to_numpy()
        else:
            chosen = answers[[name for name in answers if name.startswith(start)]]
            found[task] = chosen.rename(columns=lambda name, start=start: name.removeprefix(start))
    return found


def predict_older(
    checkout: Path,
    words: list[str],
    train: pd.DataFrame,
    test: pd.DataFrame,
    tasks: dict[str, str],
    seed: int,
    ends: float,
) -> tuple[Said, float]:
    """Return what the network of an older checkout says of the test rows, and its seconds without those of importing.

    Raises
    ------
    RuntimeError
        With the last of what the program wrote, if it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths, answers = _write(train, test, folder), Path(folder) / "answers.parquet"
        asked = {"train": str(paths[0]), "test": str(paths[1]), "answers": str(answers), "tasks": tasks, "seed": seed}
        asked |= {"words": words, "seconds": min(ends - time.time(), 1e6)}
        program = [sys.executable, str(Path(__file__).with_name("older.py"))]
        environment = {**os.environ, "PYTHONPATH": str(checkout.resolve())}
        done = subprocess.run(
            program, input=json.dumps(asked), capture_output=True, text=True, env=environment, cwd=folder
        )
        if done.returncode:
            raise RuntimeError(f"{checkout}: status {done.returncode}: {done.stderr.strip()[-500:]}")
        table = pd.read_parquet(answers)
    found: Said = {}
    for task, kind in tasks.items():
        if kind == "regression":
            found[task] = table[task].to_numpy()
        else:
            chosen = table[[name for name in table if name.startswith(f"{task}=")]]
            found[task] = chosen.rename(columns=lambda name: name.partition("=")[2])
    return found, float(done.stdout.split()[-1])


def _write(train: pd.DataFrame, test: pd.DataFrame, folder: str) -> tuple[Path, Path]:
    paths = Path(folder) / "train.parquet", Path(folder) / "test.parquet"
    train.to_parquet(paths[0], index=False)
    test.to_parquet(paths[1], index=False)
    return paths


def _ignore(line: str) -> None: ...


def measure(said: Any, truth: pd.Series, known: pd.Series) -> tuple[float, float]:
    """Return the error of what is said of the test rows, and that of the best constant of the training rows."""
    there = truth.notna().to_numpy()
    if isinstance(said, pd.DataFrame):
        classes = sorted({*known.dropna().astype(str), *truth.dropna().astype(str)})
        right = np.array(truth[there].astype(str))[:, None] == np.array(classes)
        shares = np.array([(known.dropna().astype(str) == name).mean() for name in classes])
        said = said.reindex(columns=classes, fill_value=0.0).to_numpy()[there]
        return float(((said - right) ** 2).sum(1).mean()), float(((shares - right) ** 2).sum(1).mean())
    values = truth[there].to_numpy("float64")
    return float(((said[there] - values) ** 2).mean()), float(((known.mean() - values) ** 2).mean())
