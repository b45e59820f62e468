"""The first look: what looks wrong is found, what is only related is not, and what is left out is named."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.data.look import Look
from mtl_cli.data.suspects import far_values, leaks, rare_levels, repeated
from mtl_cli.data.tables.config import CSV
from mtl_cli.data.tables.earlier import labels_elsewhere
from mtl_cli.data.tables.left_out import left_out
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.multilabel import Multilabel
from mtl_cli.tasks.kinds.regression import Regression
from tests.conftest import houses

ROWS = 600
RANDOM = np.random.default_rng(0)
X = pd.Series(RANDOM.normal(size=ROWS))
NOISE = pd.Series(RANDOM.normal(size=ROWS))
CITY = pd.Series(RANDOM.choice(list("abcd"), ROWS))
CLASSES = X.gt(0.3).map({True: "yes", False: "no"})
TAGS = pd.Series([frozenset("t" * bool(x > 0) + "u" * bool(n > 0)) for x, n in zip(X, NOISE, strict=True)])


def suspected(column: pd.Series, target: pd.Series) -> bool:
    numeric = ["c"] if pd.api.types.is_numeric_dtype(column.dtype) else []
    return bool(list(leaks(pd.DataFrame({"c": column}), numeric, {"t": target})))


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (X, CLASSES),
        (X.where(X.index % 7 > 0), CLASSES.where(X.index % 7 > 0)),
        (CLASSES.map({"yes": "sold", "no": "kept"}), CLASSES),
        (X.gt(0.3).astype(int), CLASSES),
        (pd.Series(np.where(X > 0.3, 1.0, np.nan)), CLASSES),
        (2 * X + 1, X),
        (np.exp(3 * X), X),
        (np.exp(X), X.where(NOISE > 0)),
        (CITY, CITY.map({"a": 1.0, "b": 2.5, "c": -1.0, "d": 7.0})),
        (X, TAGS),
    ],
)
def test_a_column_that_gives_a_target_away(column: pd.Series, target: pd.Series) -> None:
    assert suspected(column, target)


@pytest.mark.parametrize(
    ("column", "target"),
    [
        (X + 0.2 * NOISE, CLASSES),
        (X + 0.2 * NOISE, X),
        (NOISE, CLASSES),
        (CITY, CLASSES),
        (CITY, X),
        (NOISE.gt(0), CLASSES.where(NOISE > 5)),
        (pd.Series([f"name {i}" for i in range(ROWS)]), CLASSES),
        (NOISE, pd.Series(["no"] * (ROWS - 1) + ["yes"])),
        (CITY, pd.Series(["no"] * (ROWS - 2) + ["yes"] * 2)),
    ],
)
def test_a_column_that_is_only_related(column: pd.Series, target: pd.Series) -> None:
    assert not suspected(column, target)


def test_values_far_from_all_others() -> None:
    values = RANDOM.normal(size=ROWS)
    assert far_values("x", values) is None
    values[[3, 9]] = 1e6, -50.0
    found = far_values("x", values)
    assert found is not None and found.text == "'x' has 2 values far from the others, such as 1e+06 in row 4"
    assert far_values("x", RANDOM.lognormal(size=ROWS)) is None, "a long tail"
    assert far_values("x", np.where(RANDOM.random(ROWS) < 0.1, RANDOM.normal(50, 5, ROWS), 0)) is None, "mostly 0"
    mostly = np.where(RANDOM.random(ROWS) < 0.2, RANDOM.normal(50, 5, ROWS), 0)
    mostly[5] = 99999
    assert far_values("x", mostly) is not None


def test_columns_that_hold_the_same() -> None:
    table = pd.DataFrame(
        {"x": X, "y": NOISE, "z": 3 - 2 * X, "city": CITY, "code": CITY.map(ord), "w": X + 0.3 * NOISE}
    )
    assert repeated(table, ["x", "y", "z", "code", "w"]) == [("city", "code"), ("x", "z")]


def test_categories_with_a_row_each() -> None:
    assert rare_levels("c", CITY) is None
    found = rare_levels("c", pd.Series([f"name {i}" for i in range(20)] + ["often"] * 20))
    assert found is not None and "'c' has 21 levels, 20 of them in one row" in found.text


def test_columns_that_are_no_features() -> None:
    table = pd.DataFrame(
        {
            "Unnamed: 0": range(ROWS), "down": range(ROWS, 0, -1), "name": [f"Mr {i}, of X" for i in range(ROWS)],
            "const": "a", "customer_id": RANDOM.permutation(10 * ROWS)[:ROWS], "x": X, "city": CITY,
            "rank": RANDOM.permutation(ROWS), "when": pd.date_range("2020-01-01", periods=ROWS).astype(str),
            "price": [f"{i},5" for i in range(ROWS)], "paid": CITY.where(CITY == "a"), "grid": np.arange(ROWS) * 0.5,
        }
    )  # fmt: skip
    names = list(table)
    assert left_out(table, names, []) == {
        "Unnamed: 0": "counts the rows", "down": "counts the rows", "name": "names the rows", "const": "has one value",
        "customer_id": "names the rows",
    }  # fmt: skip
    assert "name" not in left_out(table, names, ["name"])
    assert left_out(table[["down"]], ["down"], []) == {}, "none would be left"


def prepared(path: Path, tasks: dict[str, Any], **keys: Any) -> Look:
    return CSV(path=str(path), **keys).prepare(tasks, lambda line: None).look()


def test_the_look_at_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = houses().assign(counter=range(240), copy=lambda t: t["price"] * 2)
    table.to_csv("houses.csv", index=False)
    look = prepared(Path("houses.csv"), {"price": Regression(), "sold": Binary(), "tags": Multilabel()})
    assert look.parts == {"train": 168, "val": 24, "test": 48} and look.left == 0
    assert look.targets["price"].labels == table["price"].notna().sum()
    assert look.targets["price"].median == table["price"].median()
    assert look.targets["sold"].shares["no"] == pytest.approx((table["sold"].dropna() == "no").mean())
    assert look.targets["tags"].shares["green"] == pytest.approx(table["tags"].str.contains("green").mean())
    assert look.features is not None
    assert look.features.left_out == {"house": "names the rows", "counter": "counts the rows"}
    kinds = {name: column.kind for name, column in look.features.columns.items()}
    assert kinds == {
        "area": "numeric", "rooms": "numeric", "city": "categorical", "garden": "boolean", "built": "date",
        "kind": "categorical", "copy": "numeric",
    }  # fmt: skip
    assert look.features.columns["area"].missing == table["area"].isna().sum()
    leaked = [f.text for f in look.features.findings if f.kind == "leak"]
    assert leaked == ["'garden' alone determines tags 'green'", "'copy' alone determines price"]


def test_a_label_of_an_earlier_run_is_told_where_it_is_a_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    houses().to_csv("houses.csv", index=False)
    run = tmp_path / "outputs" / "one"
    run.mkdir(parents=True)
    config = "dataset: {kind: csv, path: houses.csv}\ntasks: {sold: {kind: binary}, dear: {target: price}}\n"
    (run / "config.yaml").write_text(config)
    assert labels_elsewhere(str(tmp_path / "houses.csv")) == {"sold": "outputs/one", "price": "outputs/one"}
    (tmp_path / "outputs").rename(tmp_path / "moved")
    assert labels_elsewhere(str(tmp_path / "houses.csv")) == {}
    (tmp_path / "moved" / "one").rename(tmp_path / "my_run")
    assert labels_elsewhere(str(tmp_path / "houses.csv")) == {"sold": "my_run", "price": "my_run"}
    (tmp_path / "my_run").rename(tmp_path / "moved" / "one")
    (tmp_path / "moved").rename(tmp_path / "outputs")
    assert labels_elsewhere("other/houses.csv") == {}
    assert labels_elsewhere("builtin:winequality-red.csv")["quality"] == "dataset=wine"
    look = prepared(Path("houses.csv"), {"kind": Binary(at_least=None, mapping={"flat": 0, "house": 1, "villa": 1})})
    assert look.features is not None
    told = {f.columns[0]: f.text for f in look.features.findings if f.kind == "label"}
    assert told == {name: f"'{name}' is a feature here and a label in outputs/one" for name in ("price", "sold")}


@pytest.mark.parametrize("config", [b"a: " + 200_000 * b"[", b"a: [", b"\xff", b"- a\n- b", b"tasks: 3"])
def test_a_config_of_an_earlier_run_that_is_none_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "outputs" / "one"
    run.mkdir(parents=True)
    (run / "config.yaml").write_bytes(b"# houses.csv\n" + config)
    assert labels_elsewhere("houses.csv") == {}


def timed(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def test_a_wide_table_and_a_long_one_cost_little() -> None:
    wide = pd.DataFrame(RANDOM.normal(size=(3000, 400))).rename(columns=str)
    labels = {f"y{i}": wide[str(i)] * 2 + RANDOM.normal(size=3000) for i in range(10)}
    assert timed(lambda: list(leaks(wide.iloc[:2500], list(wide), {k: v.iloc[:2500] for k, v in labels.items()}))) < 5
    assert timed(lambda: far_values("x", RANDOM.normal(size=1_000_000))) < 1
