"""Tables that defaults are chosen and judged on: real ones, and generated ones that each ask for one thing.

A table is used to choose if the CRC-32 of its name is even, and to report if it is odd: no look at results decides it,
and a table that is added moves no other. The Mulan sets, adult and clothing lie under ``MTL_DATA_ROOT``, where
``python -m tests.bench.fetch`` puts them; what is not there is left out.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from tests.bench.plain_wine import DATA

Kind = Literal["regression", "binary", "multiclass"]
Table = tuple[pd.DataFrame, dict[str, Kind]]
Half = Literal["choose", "report"]

MULAN = {"andro": 6, "atp7d": 6, "edm": 2, "jura": 3, "oes10": 16, "sf2": 3, "slump": 3}
"""By name: how many of the last attributes are the targets."""
FETCHED: dict[str, dict[str, Kind]] = {
    "adult": {"income": "binary", "marital_status": "multiclass", "hours_per_week": "regression"},
    "clothing": {"rating": "regression", "recommended": "binary", "department": "multiclass"},
}
"""By name: the tasks of a table that ``tests.bench.fetch`` fetches."""


def half(name: str) -> Half:
    """Return what a table is for."""
    return "choose" if zlib.crc32(name.encode()) % 2 == 0 else "report"


def names() -> list[str]:
    """Return the tables that are at hand."""
    files = [
        *(name for name in MULAN if _mulan(name).is_file()),
        *(name for name in FETCHED if _fetched(name).is_file()),
    ]
    return sorted([*files, *_LOADED, *_GENERATED])


def load(name: str) -> Table:
    """Return a table and its tasks, the same at each call."""
    if name in MULAN:
        from mtl_cli.data.table_files.arff import read_arff

        path = _mulan(name)
        table = read_arff(lambda: path.open("rb"), str(path), lambda line: None)
        targets = {old: f"y{i}" for i, old in enumerate(table.columns[-MULAN[name] :])}
        return table.rename(columns=targets), dict.fromkeys(targets.values(), "regression")
    if name in FETCHED:
        return pd.read_parquet(_fetched(name)), FETCHED[name]
    if name in _LOADED:
        return _LOADED[name]()
    return _GENERATED[name](np.random.default_rng(zlib.crc32(name.encode())))


def _root() -> Path:
    return Path(os.environ.get("MTL_DATA_ROOT", "../shared/data"))


def _mulan(name: str) -> Path:
    return _root() / "mulan" / f"{name}.arff"


def _fetched(name: str) -> Path:
    return _root() / f"{name}.parquet"


def _wine() -> Table:
    table = pd.read_csv(DATA, sep=";").rename(columns=lambda name: name.replace(" ", "_"))
    return table.assign(good=table["quality"] >= 6), {"quality": "regression", "good": "binary"}


def _digits() -> Table:
    from sklearn.datasets import load_digits

    found = load_digits(as_frame=True)
    table = found.data.assign(digit=[f"d{digit}" for digit in found.target], odd=found.target % 2 == 1)
    return table.sample(600, random_state=0).reset_index(drop=True), {"digit": "multiclass", "odd": "binary"}


def _diabetes() -> Table:
    from sklearn.datasets import load_diabetes

    table = load_diabetes(as_frame=True, scaled=False).frame
    return table.assign(high=table["target"] > 140), {"target": "regression", "high": "binary"}


def _linnerud() -> Table:
    from sklearn.datasets import load_linnerud

    found = load_linnerud(as_frame=True)
    return found.frame, dict.fromkeys(found.target.columns, "regression")


_LOADED: dict[str, Callable[[], Table]] = {
    "wine": _wine, "digits": _digits, "diabetes": _diabetes, "linnerud": _linnerud,
}  # fmt: skip


def _curved(x: np.ndarray) -> np.ndarray:
    """Return Friedman's first function, of the first five columns, scaled to deviation 1."""
    found = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return (found - found.mean()) / found.std()


def _frame(x: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(x, columns=[f"x{i}" for i in range(x.shape[1])]).assign(**columns)


def _friedman(random: np.random.Generator, rows: int, noise: float = 0.3) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return inputs within 0 and 1, and two tasks that are related."""
    x = random.uniform(size=(rows, 10))
    curved = _curved(x)
    other = curved + x[:, 5] * 2
    return x, {"a": curved + noise * random.normal(size=rows), "b": other + noise * random.normal(size=rows) > 1}


TWO: dict[str, Kind] = {"a": "regression", "b": "binary"}


def few_rows(random: np.random.Generator) -> Table:
    """Make 60 rows of two tasks."""
    x, tasks = _friedman(random, 60)
    return _frame(x, **tasks), TWO


def many_rows(random: np.random.Generator) -> Table:
    """Make 3000 rows of the same."""
    x, tasks = _friedman(random, 3000)
    return _frame(x, **tasks), TWO


def stray_readings(random: np.random.Generator) -> Table:
    """Spoil one cell in a hundred, by a factor of a hundred or more."""
    x, tasks = _friedman(random, 400)
    x = np.where(random.uniform(size=x.shape) < 0.01, x * 10 ** random.uniform(2, 4, x.shape), x)
    return _frame(x, **tasks), TWO


def long_tails(random: np.random.Generator) -> Table:
    """Make log-normal features, whose logarithm matters."""
    x, tasks = _friedman(random, 400)
    return _frame(np.exp(6 * x + random.normal(size=10)), **tasks), TWO


def mostly_zero(random: np.random.Generator) -> Table:
    """Make counts of which four in five are zero, so that their quartiles are equal."""
    x = random.poisson(random.gamma(0.15, 3, size=(400, 20)))
    signal = np.log1p(x) @ random.normal(size=(20, 3)) / 2
    found = signal + 0.5 * random.normal(size=signal.shape)
    return _frame(x, a=found[:, 0], b=found[:, 1] > 0, c=found[:, 2]), {**TWO, "c": "regression"}


def many_tasks(random: np.random.Generator) -> Table:
    """Make 20 tasks that three hidden functions explain."""
    x = random.normal(size=(300, 15))
    hidden = np.tanh(x @ random.normal(size=(15, 3)) / 2)
    y = hidden @ random.normal(size=(3, 20)) + 0.5 * random.normal(size=(300, 20))
    return _frame(x, **{f"y{i}": y[:, i] for i in range(20)}), {f"y{i}": "regression" for i in range(20)}


def imbalanced(random: np.random.Generator) -> Table:
    """Make a class of one row in fifteen, and four classes of which one is common."""
    x = random.normal(size=(800, 10))
    score = x[:, 0] * x[:, 1] + x[:, 2] + 0.5 * random.normal(size=800)
    common = np.digitize(x[:, 3] + np.abs(x[:, 4]) + 0.3 * random.normal(size=800), [1.5, 2.2, 2.8])
    table = _frame(x, rare=score > np.quantile(score, 14 / 15), kind=np.array(["p", "q", "r", "s"])[common])
    return table, {"rare": "binary", "kind": "multiclass"}


def high_cardinality(random: np.random.Generator) -> Table:
    """Make a category of 60 levels, each with an effect of its own, beside numbers."""
    level = random.integers(60, size=800)
    x = random.normal(size=(800, 5))
    value = random.normal(size=60)[level] + x[:, 0] + np.abs(x[:, 1]) + 0.4 * random.normal(size=800)
    shop = np.array([f"s{i}" for i in level])
    return _frame(x, shop=shop, a=value, b=value + x[:, 2] > 1), TWO


def missing(random: np.random.Generator) -> Table:
    """Leave one cell in five empty."""
    x, tasks = _friedman(random, 400)
    x[random.uniform(size=x.shape) < 0.2] = np.nan
    return _frame(x, **tasks), TWO


def steps(random: np.random.Generator) -> Table:
    """Make jumps at thresholds of single features, which trees are made for."""
    x = random.normal(size=(400, 12))
    value = 2.0 * (x[:, 0] > 0.5) + 1.5 * ((x[:, 1] > 0) & (x[:, 2] > 0)) - (x[:, 3] > -0.5)
    return _frame(x, a=value + 0.4 * random.normal(size=400), b=value + 0.4 * random.normal(size=400) > 0.5), TWO


def straight(random: np.random.Generator) -> Table:
    """Make what is linear in correlated features, which ridge is made for."""
    x = random.normal(size=(200, 6)) @ random.normal(size=(6, 25)) + 0.3 * random.normal(size=(200, 25))
    y = x @ random.normal(size=(25, 2)) / 5
    found = y + y.std(0) * 0.5 * random.normal(size=y.shape)
    return _frame(x, a=found[:, 0], c=found[:, 1]), {"a": "regression", "c": "regression"}


_GENERATED: dict[str, Callable[[np.random.Generator], Table]] = {
    make.__name__: make
    for make in (
        few_rows, many_rows, stray_readings, long_tails, mostly_zero, many_tasks, imbalanced, high_cardinality, missing,
        steps, straight,
    )
}  # fmt: skip
