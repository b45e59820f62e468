"""Splits: the documented rows, nothing shared, nothing lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from mtl_cli.config.errors import UserError
from mtl_cli.data.duplicates import equal_rows
from mtl_cli.data.split import Split, SplitConfig, split_rows


def split(
    table: pd.DataFrame, features: list[str] | None = None, notices: list[str] | None = None, **keys: Any
) -> Split:
    return split_rows(
        SplitConfig(**keys), table, equal_rows(table, features or list(table.columns)), lambda name: table[name],
        (notices if notices is not None else []).append,
    )  # fmt: skip


def numbered(rows: int) -> pd.DataFrame:
    return pd.DataFrame({"x": range(rows)})


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.integers(10, 300), st.sampled_from([0, 0.1, 0.25, 2]), st.sampled_from([0.1, 0.3, 3]), st.integers(0, 5))
def test_parts_share_no_row_and_lose_none(rows: int, val: float, test: float, seed: int) -> None:
    found = split(numbered(rows), val=val, test=test, seed=seed)
    together = np.concatenate([found.train, found.val, found.test])
    assert sorted(together) == list(range(rows))
    assert len(found.test) == (test if test >= 1 else int(np.ceil(test * rows)))
    assert len(found.val) == (val if val >= 1 else int(np.ceil(val * rows)))


def test_random_test_rows_are_scikit_learns() -> None:
    rest, expected = train_test_split(range(1599), test_size=0.2, random_state=42)
    found = split(numbered(1599))
    assert found.test.tolist() == expected
    assert sorted([*found.train, *found.val]) == sorted(rest)


def test_stratified_by_several_columns() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"x": range(400), "a": random.choice(["p", "q"], 400, p=[0.9, 0.1]), "b": random.random(400)})
    found = split(table, ["x"], stratify=["a", "b"])
    share = (table["a"] == "q").mean()
    for part in (found.train, found.val, found.test):
        assert abs((table["a"].iloc[part] == "q").mean() - share) < 0.03
        assert abs(table["b"].iloc[part].mean() - table["b"].mean()) < 0.03


def test_a_class_with_a_single_row_under_stratification() -> None:
    table = pd.DataFrame({"x": range(50), "a": ["common"] * 49 + ["once"]})
    with pytest.raises(UserError, match="dataset.split.stratify: the class 'once' of a has a single row"):
        split(table, ["x"], stratify=["a"])


def test_groups_stay_together() -> None:
    table = pd.DataFrame({"x": range(200), "patient": np.random.default_rng(0).integers(0, 30, 200)})
    found = split(table, ["x"], group="patient")
    patients = [set(table["patient"].iloc[part]) for part in (found.train, found.val, found.test)]
    assert not (patients[0] & patients[1] or patients[0] & patients[2] or patients[1] & patients[2])
    assert all(patients)


def test_time_order() -> None:
    days = np.random.default_rng(0).permutation(100)
    table = pd.DataFrame({"x": range(100), "day": pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D")})
    for column in (table, table.assign(day=table["day"].dt.strftime("%Y-%m-%d"))):
        found = split(column, ["x"], time="day")
        times = [table["day"].iloc[part] for part in (found.train, found.val, found.test)]
        assert times[0].max() < times[1].min()
        assert times[1].max() < times[2].min()
        assert len(found.test) == 20


def test_a_row_without_a_time() -> None:
    with pytest.raises(UserError, match="'soon' in row 2 of column 'day' is not a date"):
        split(pd.DataFrame({"x": range(3), "day": ["2020-01-01", "soon", "2020-01-02"]}), ["x"], time="day")


def test_a_column_that_says_it() -> None:
    table = pd.DataFrame({"x": range(10), "fold": ["train"] * 6 + ["Validation"] * 2 + ["TEST"] * 2})
    found = split(table, ["x"], column="fold")
    assert (found.train.tolist(), found.val.tolist(), found.test.tolist()) == (list(range(6)), [6, 7], [8, 9])
    with pytest.raises(UserError, match="'trian' in row 1 of column 'fold' names no part"):
        split(table.replace("train", "trian"), ["x"], column="fold")


def test_duplicates_are_counted() -> None:
    table = pd.DataFrame({"x": [*range(50), *range(50)]})
    notices: list[str] = []
    found = split(table, notices=notices)
    seen = set(table["x"].iloc[np.concatenate([found.train, found.val])])
    assert found.duplicates["test"].tolist() == [x in seen for x in table["x"].iloc[found.test]]
    assert found.duplicates["test"].any()
    assert f"{found.duplicates['test'].sum()} of 20 test rows" in notices[0]
    assert "dataset.split.duplicates=together" in notices[0]


def test_duplicates_kept_together() -> None:
    table = pd.DataFrame({"x": [*range(50), *range(50)], "g": [*range(49), 0, *range(50)]})
    for keys in ({}, {"group": "g"}):
        notices: list[str] = []
        found = split(table, ["x"], notices, duplicates="together", **keys)
        values = [set(table["x"].iloc[part]) for part in (found.train, found.val, found.test)]
        assert not (values[0] & values[1] or values[0] & values[2] or values[1] & values[2])
        assert notices == []
    groups = [set(table["g"].iloc[part]) for part in (found.train, found.val, found.test)]
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])


def test_duplicates_dropped() -> None:
    table = pd.DataFrame({"x": [*range(50), *range(50)]})
    kept, dropped = split(table), split(table, duplicates="drop")
    assert dropped.train.tolist() == kept.train.tolist()
    assert dropped.test.tolist() == kept.test[~kept.duplicates["test"]].tolist()
    assert (dropped.names(100) == "dropped").sum() == kept.duplicates["test"].sum() + kept.duplicates["val"].sum()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"test": 30}, "dataset.split.test: asks for 30 of 30 rows"),
        ({"test": 20, "val": 12}, "dataset.split.val: asks for 12 of 10 rows"),
        ({"group": "grup"}, "dataset.split.group: there is no column 'grup'; did you mean group?"),
        ({"time": "when"}, "dataset.split.time: there is no column 'when'"),
    ],
)
def test_impossible_splits(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        split(pd.DataFrame({"x": range(30), "group": range(30)}), ["x"], **keys)
    assert str(caught.value).startswith(message)


def test_one_row() -> None:
    with pytest.raises(UserError):
        split(numbered(1))
