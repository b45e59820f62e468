"""Splits: the documented rows, nothing shared, nothing lost."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from mtl_cli.config.errors import UserError
from mtl_cli.data.duplicates import equal_rows
from mtl_cli.data.split import Rows, Split, SplitConfig, split_folds, split_rows


def split(
    table: pd.DataFrame, features: list[str] | None = None, notices: list[str] | None = None, **keys: Any
) -> Split:
    return split_rows(
        SplitConfig(**keys), table, Rows(equal_rows(table, features or list(table.columns)), lambda name: table[name]),
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


def test_a_class_with_a_single_row_is_named_and_the_others_are_balanced() -> None:
    table = pd.DataFrame({"x": range(100), "a": ["common", "other"] * 49 + ["common", "once"]})
    notices: list[str] = []
    found = split(table, ["x"], notices, stratify=["a"])
    assert notices == ["dataset.split.stratify: fewer rows than the 3 parts: a: once (1)"]
    assert [len(rows) for rows in found.parts().values()] == [70, 10, 20]
    assert [(table["a"].iloc[rows] == "common").sum() for rows in found.parts().values()] in ([35, 5, 10], [36, 5, 9])


TAGS = pd.Series([frozenset("ab"), frozenset("a"), frozenset(), frozenset("c"), None] * 40)


def test_stratified_by_tasks_of_several_kinds_whose_combinations_are_rare() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame({"x": range(200), "y": random.random(200), "k": random.integers(0, 8, 200).astype(str)})
    table["tags"] = TAGS
    for group, most in ((None, 2), ("g", 3)):
        found = split(table.assign(g=table["x"] // 2), ["x"], stratify=["y", "k", "tags"], group=group)
        assert [len(rows) for rows in found.parts().values()] == [140, 20, 40]
        for rows in (found.val, found.test):
            assert abs(table["y"].iloc[rows].mean() - table["y"].mean()) < 0.05
            assert table["k"].iloc[rows].nunique() == 8
            carried = TAGS.iloc[rows].dropna()
            expected = {"": 0.8, "a": 0.4, "b": 0.2, "c": 0.2}
            for tag, share in expected.items():
                count = sum(tag in tags or not tag for tags in carried)
                assert abs(count - share * len(rows)) <= most, "rows too many or too few"


def test_a_group_of_several_labels_counts_with_all_of_them() -> None:
    """The first row of a group does not stand for the group."""
    table = pd.DataFrame({"x": range(400), "g": np.repeat(range(40), 10), "a": (["p"] + ["q"] * 9) * 20 + ["p"] * 200})
    found = split(table, ["x"], stratify=["a"], group="g")
    for rows in found.parts().values():
        assert abs((table["a"].iloc[rows] == "q").mean() - 0.45) < 0.1


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


def panel(days: int, shops: int) -> pd.DataFrame:
    """Return a table with a row for each day and shop, shuffled."""
    dates = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.repeat(np.arange(days), shops), unit="D")
    table = pd.DataFrame({"x": range(days * shops), "day": dates.strftime("%Y-%m-%d")})
    return table.sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.mark.parametrize("keys", [{"test": 0.23, "val": 0.15}, {"test": 0.23, "val": 0}, {"test": 0, "val": 33}])
@pytest.mark.parametrize("spelt", ["date", "number", "time"])
def test_no_time_is_cut(keys: dict[str, Any], spelt: str) -> None:
    table = panel(days=12, shops=13)
    if spelt == "number":
        table["day"] = pd.to_datetime(table["day"]).dt.day_of_year
    elif spelt == "time":
        table["day"] = pd.to_datetime(table["day"])
    notices: list[str] = []
    found = split(table, ["x"], notices, time="day", **keys)
    times = [table["day"].iloc[rows] for rows in found.parts().values()]
    for earlier, later in itertools.pairwise([t for t in times if len(t)]):
        assert earlier.max() < later.min()
    asked = {key: size if size >= 1 else np.ceil(size * 156) for key, size in keys.items()}
    for key, size in asked.items():
        assert abs(len(found.parts()[key]) - size) <= 13 / 2 * (1 + (key == "val"))
        assert bool(len(found.parts()[key])) == bool(size)
    assert len(notices) == 1 and "rows of one time stay together" in notices[0]


def test_too_few_times() -> None:
    table = panel(days=2, shops=10)
    with pytest.raises(UserError, match="2 different times, too few for 3 parts"):
        split(table, ["x"], time="day")
    assert len(split(table, ["x"], time="day", val=0).test) == 10
    with pytest.raises(UserError, match="dataset.split.time: all rows have one time, 2024-01-01"):
        split(panel(days=1, shops=10), ["x"], time="day")


def test_a_row_without_a_time() -> None:
    with pytest.raises(UserError, match="'soon' in row 2 of column 'day' is not a date"):
        split(pd.DataFrame({"x": range(3), "day": ["2020-01-01", "soon", "2020-01-02"]}), ["x"], time="day")


def test_a_column_that_says_it() -> None:
    table = pd.DataFrame({"x": range(10), "fold": ["train"] * 6 + ["Validation"] * 2 + ["TEST"] * 2})
    found = split(table, ["x"], column="fold")
    assert (found.train.tolist(), found.val.tolist(), found.test.tolist()) == (list(range(6)), [6, 7], [8, 9])
    with pytest.raises(UserError, match="'trian' in row 1 of column 'fold' names no part"):
        split(table.replace("train", "trian"), ["x"], column="fold")


def by_id(table: pd.DataFrame, **keys: Any) -> Split:
    rows = Rows(np.arange(len(table)), lambda name: table[name], table["id"])
    return split_rows(SplitConfig(by="id", **keys), table, rows)


def test_a_part_by_id_depends_on_the_id_alone() -> None:
    table = pd.DataFrame({"id": [f"p{i}" for i in range(2000)], "x": 0})
    names = pd.Series(by_id(table).names(2000), index=table["id"])
    for rows, share in by_id(table).parts().items():
        assert abs(len(share) / 2000 - {"train": 0.7, "val": 0.1, "test": 0.2}[rows]) < 0.03
    other = pd.concat([table.sample(frac=0.5, random_state=1), pd.DataFrame({"id": ["new", " p7 "], "x": 0})])
    again = pd.Series(by_id(other.reset_index(drop=True)).names(len(other)), index=other["id"])
    shared = other["id"].str.strip()[lambda ids: ids != "new"]
    assert again.drop("new").tolist() == names[shared].tolist()
    assert (by_id(table, seed=1).names(2000) != names).any()
    twice = by_id(pd.concat([table, table]).reset_index(drop=True)).names(4000)
    assert (twice[:2000] == twice[2000:]).all(), "rows of one id stay together"


def test_by_id_needs_ids_and_fractions() -> None:
    problems = [str(p) for p in SplitConfig(by="id", test=200, group="g").check([], has_ids=False)]
    assert [problem.partition(":")[0] for problem in problems] == [
        "dataset.split.test", "dataset.split", "dataset.split.by"
    ]  # fmt: skip
    with pytest.raises(UserError, match="row 2 has no id in column 'id'"):
        by_id(pd.DataFrame({"id": ["a", None], "x": 0}))


def from_file(table: pd.DataFrame, path: Path, ids: bool, notices: list[str]) -> np.ndarray:
    rows = Rows(np.arange(len(table)), lambda name: table[name], table["id"] if ids else None)
    return split_rows(SplitConfig(file=str(path)), table, rows, notices.append).names(len(table))


def test_the_split_of_another_run(tmp_path: Path) -> None:
    table = pd.DataFrame({"id": [f"{i:03d}" for i in range(40)], "x": range(40)})
    names = split(table, ["x"]).names(40)
    path, notices = tmp_path / "splits.csv", list[str]()
    pd.DataFrame({"id": table["id"], "split": names}).to_csv(path, index=False)
    backwards = table[::-1].reset_index(drop=True)
    assert (from_file(backwards, path, True, notices) == names[::-1]).all()
    assert (from_file(table[:30], path, True, notices) == names[:30]).all()
    assert notices == [f"dataset.split.file: 10 ids of {path} are not in the table"]
    with pytest.raises(UserError, match=r"1 of 41 ids are not in .*, such as 'new'"):
        from_file(pd.concat([table, pd.DataFrame({"id": ["new"], "x": [1]})], ignore_index=True), path, True, notices)
    with pytest.raises(UserError, match="has no column 'row'"):
        from_file(table, path, False, notices)
    pd.DataFrame({"row": range(40), "split": names}).to_csv(path, index=False)
    assert (from_file(table, path, False, notices) == names).all()
    assert "rows go by their numbers" in notices[-1]
    with pytest.raises(UserError, match="is of 40 rows, the table has 39"):
        from_file(table[:39], path, False, notices)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot be read: No such file"),
        ("a,b\n1,2\n", "has no column 'split'"),
        ("row,split\n0,train\n1,train\n2,tset\n", "'tset' in .* names no part"),
        ("", "cannot be read: it is not a CSV file"),
    ],
)
def test_files_that_are_no_split(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "splits.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        from_file(numbered(3), path, False, [])


def test_folds_follow_the_split() -> None:
    table = panel(days=12, shops=5).assign(g=np.arange(60) // 4, id=[f"p{i}" for i in range(60)])
    rows = Rows(np.arange(60), lambda name: table[name], table["id"])
    chosen = np.arange(10, 60)
    by_time = split_folds(SplitConfig(time="day"), table, rows, chosen, 3)
    days = table["day"].iloc[chosen].to_numpy()
    assert days[by_time == 0].max() < days[by_time == 1].min() and days[by_time == 1].max() < days[by_time == 2].min()
    by_group = split_folds(SplitConfig(group="g"), table, rows, chosen, 3)
    assert (pd.Series(by_group).groupby(table["g"].iloc[chosen].to_numpy()).nunique() == 1).all()
    hashed = split_folds(SplitConfig(by="id"), table, rows, chosen, 3)
    assert (split_folds(SplitConfig(by="id"), table, rows, chosen[5:20], 3) == hashed[5:20]).all()
    assert np.bincount(split_folds(SplitConfig(), table, rows, chosen, 3)).tolist() == [17, 17, 16]


@pytest.mark.parametrize("name", ["split", "fold", "fold_2"])
def test_ids_with_a_name_of_ours_are_kept_in_the_table_of_the_split(name: str) -> None:
    ids = pd.Series(["a", "b"], name=name)
    table = Split(np.array([0]), np.array([], int), np.array([1]), {}).table(ids)
    assert table.to_dict("list") == {"id": ["a", "b"], "split": ["train", "test"]}


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
