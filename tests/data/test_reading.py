"""What the cells of a table are is decided from whole columns, said, and kept for the tables to come."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Part, Prepared
from mtl_cli.data.split import SplitConfig
from mtl_cli.data.tables.config import CSV, Parquet
from mtl_cli.data.tables.deciding import Use, Words, decide
from mtl_cli.data.tables.features import FeatureConfig
from mtl_cli.data.tables.reading import Readings
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.multilabel import Multilabel
from mtl_cli.tasks.kinds.regression import Regression
from mtl_cli.tasks.task import TaskConfig


def read(
    values: list[Any], use: Use = "feature", words: Words | None = None, **others: list[Any]
) -> tuple[pd.Series, list[str]]:
    """Return a column as it is read, beside others, and what was said."""
    said: list[str] = []
    table = pd.DataFrame({"x": values, **others})
    uses: dict[str, Use] = {"x": use, **dict.fromkeys(others, "feature")}
    readings = decide(table, uses, words or Words(), "t.csv", said.append)
    again = Readings.from_state(readings.state())
    pd.testing.assert_frame_equal(again.apply(table), readings.apply(table))
    return readings.apply(table)["x"], said


def prepared(
    tmp_path: Path, table: pd.DataFrame, tasks: dict[str, TaskConfig], **keys: Any
) -> tuple[Prepared, list[str]]:
    said: list[str] = []
    path = tmp_path / "t.csv"
    table.to_csv(path, index=False)
    keys.setdefault("split", SplitConfig(test=0.2, val=0))
    return CSV(path=str(path), **keys).prepare(tasks, said.append), said


def rows(found: Prepared, name: str) -> pd.Series:
    """Return the labels of a task in all parts, in the rows' order."""
    return pd.concat([part.labels[name] for part in found.parts.values()]).sort_index()


@pytest.mark.parametrize("word", ["?", "-", "n/a", "n.d.", "unknown", "N.A.", "#DIV/0!", " . "])
def test_a_usual_word_among_numbers_is_a_missing_number(word: str) -> None:
    found, said = read(["1.5", word, " 2 ", "-3e2"] * 3)
    assert found.dtype == float
    np.testing.assert_array_equal(found[:4], [1.5, np.nan, 2, -300])
    assert said == [f"t.csv: 3 × '{word.strip()}' in 'x' are taken as missing"]


@pytest.mark.parametrize("word", ["<5", "12 mg/L", "high"])
def test_another_word_among_numbers_is_asked_about(word: str) -> None:
    numbers = [str(n) for n in range(20)]
    message = rf"19 of 20 values of the column 'x' are numbers; not '{word}'; dataset.missing=\['{word}'\] takes these"
    with pytest.raises(UserError, match=message) as caught:
        read([*numbers[:19], word])
    assert "dataset.features.categorical=[x] takes all as text" in str(caught.value)
    found, _ = read([*numbers[:19], word], words=Words(missing=[word]))
    np.testing.assert_array_equal(found, [*range(19), np.nan])
    found, said = read([*numbers[:19], word], "categorical")
    assert (found.iloc[-1], said) == (word, [])


def test_a_column_of_names_that_are_often_numbers_stays_text() -> None:
    found, said = read(["113803", "A/5 21171", "373450", "PC 17599"])
    assert found.tolist() == ["113803", "A/5 21171", "373450", "PC 17599"]
    assert said == ["t.csv: 'x' is taken as text: most values are numbers, 'A/5 21171' is not"]
    assert read(["a", "b", "1", "c"])[1] == []


@pytest.mark.parametrize(
    ("texts", "others", "expected", "line"),
    [
        (["7,269", "4,964"], {"z": [0.5, 1.25]}, [7269, 4964], "with ',' between thousands"),
        (["1.234,56", "7,5"], {}, [1234.56, 7.5], "with the decimal mark ','"),
        (["1.234", "950"], {"z": ["0,5", "1,25"]}, [1234, 950], "with the decimal mark ','"),
        (["1,234.56", "?"], {}, [1234.56, np.nan], "with ',' between thousands"),
        (["7,269", "4,964"], {"z": ["0,5", "1,25"]}, [7.269, 4.964], "with the decimal mark ','"),
    ],
)
def test_marks_are_settled_by_the_column_or_the_table(
    texts: list[str], others: dict[str, list[Any]], expected: list[float], line: str
) -> None:
    for use in ("feature", "number"):
        found, said = read(texts, use, **others)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, expected)
        assert any(line in each and "'x'" in each for each in said)


def test_points_are_fractions_where_numbers_have_neither_marks_nor_a_table_of_commas() -> None:
    others = {"z": ["0,5", "1,25"]}
    assert read(["4.823", "1200"], "number", **others)[0].tolist() == [4.823, 1200]  # no thousand is without a mark
    found, said = read(["4.823", "2.500"], "number", **others)
    assert found.tolist() == [4823, 2500]
    assert any(
        "are read with the decimal mark ',' and '.' between thousands" in line and "'x'" in line for line in said
    )
    few = ["1,5", "1,5", "1,5", "1,5", "2", "3", "4"]  # a few odd cells do not say how a table is written
    labels = ["4.823", "2.500", "3.125", "6.201", "7.003", "1.001", "2.022"]
    assert read(labels, "number", z=few)[0].tolist() == [float(label) for label in labels]


def test_amounts_of_money_are_numbers_though_no_two_are_alike() -> None:
    for sign, expected in (("$", 1), ("-$", -1), ("€ ", 1)):
        found, said = read([f"{sign}{1000 + 7 * i:,}" for i in range(12)], z=[0.5] * 12)
        assert found.tolist() == [expected * (1000 + 7 * i) for i in range(12)]
        assert any("without their unit" in line for line in said)


def test_a_note_is_one_line_whatever_the_cell() -> None:
    said = read(["113803", "two\nlines", "373450", "PC 17599"])[1]
    assert said == ["t.csv: 'x' is taken as text: most values are numbers, 'two lines' is not"]


def test_marks_that_nothing_settles_are_asked_for() -> None:
    message = (
        "'7,269' in the column 'x' may be 7269 or 7.269; dataset.thousands=',' says the first, dataset.decimal=','"
    )
    with pytest.raises(UserError, match=message):
        read(["7,269", "4,964"])
    assert read(["7,269", "4,964"], words=Words(thousands=","))[0].tolist() == [7269, 4964]
    assert read(["7,269", "4,964"], words=Words(decimal=","))[0].tolist() == [7.269, 4.964]


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (
            ["05/01/22", "31/01/22", "?"],
            ["dates in 'x' are read with the day first", "1 × '?' in 'x' is taken as missing"],
        ),
        (["1/5/2022 3:15 PM", "1/31/2022 12:00 AM", None], ["dates in 'x' are read with the month first"]),
        (["2022/01/05", "2022/01/31", "9999-12-31"], ["1 × '9999-12-31' in 'x' is taken as missing"]),
        (["2022-01-05T00:00:00Z", "2022-01-31T02:00+02:00", ""], []),
    ],
)
def test_columns_of_dates(texts: list[str], said: list[str]) -> None:
    found, lines = read(texts)
    assert found.dt.strftime("%m-%d").tolist()[:2] == ["01-05", "01-31"]
    assert found.isna().tolist() == [False, False, True]
    assert sorted(lines) == sorted(f"t.csv: {line}" for line in said)


def test_dates_that_nothing_settles_are_asked_for() -> None:
    texts = ["01/02/2024", "03/04/2024"]
    with pytest.raises(
        UserError, match="may be day first or month first; dataset.day_first=true or dataset.day_first=false"
    ):
        read(texts)
    for day_first, months in ((True, [2, 4]), (False, [1, 3])):
        assert read(texts, words=Words(day_first=day_first))[0].dt.month.tolist() == months


def test_new_cells_are_read_as_the_training_table_was() -> None:
    table = pd.DataFrame({"price": ["1.234,5", "7,25"], "when": ["31/01/22", "01/02/22"], "city": ["Ulm ", "Oslo"]})
    readings = decide(table, dict.fromkeys(table.columns, "feature"), Words(), "t", lambda line: None)
    new = pd.DataFrame({"price": ["1.234", "-"], "when": ["03/04/22", None], "city": [" Ulm", "\u00a0Oslo "]})
    found = readings.apply(new)
    np.testing.assert_array_equal(found["price"], [1234, np.nan])
    assert found["when"].iloc[0] == pd.Timestamp("2022-04-03", tz="UTC")
    assert found["city"].tolist() == ["Ulm", "Oslo"]
    assert readings.as_written == ["price", "when", "city"], "a text file's reader must not take 1.234 for a fraction"
    odd = readings.apply(pd.DataFrame({"price": ["1,5", "<5"], "when": ["01/02/22", "soon"]}))
    assert odd["price"].tolist() == [1.5, "<5"], "what is no number stays, to be named by what needs one"
    assert odd["when"].iloc[1] == "soon"


def test_spaces_make_no_other_group_level_class_or_id(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    n = 120
    spaces = np.array(["", " ", "  ", "\u00a0"])[rng.integers(0, 4, n)]
    patient = np.arange(n) % 12
    table = pd.DataFrame({
        "id": [f"r{i}{s}" for i, s in enumerate(spaces)],
        "pid": [f"P{p}{s}" for p, s in zip(patient, spaces, strict=True)],
        "city": [f"{c}{s}" for c, s in zip(np.array(["Ulm", "Oslo"])[patient % 2], spaces, strict=True)],
        "kind": [f"{k}{s}" for k, s in zip(np.array(["a", "b"])[rng.integers(0, 2, n)], spaces, strict=True)],
        "x": rng.normal(size=n),
    })  # fmt: skip
    found, _ = prepared(
        tmp_path, table, {"kind": Multiclass()}, id="id", split=SplitConfig(test=0.3, val=0.2, group="pid")
    )
    assert found.tasks["kind"].outputs == 2
    assert found.reader.spec.names[:2] == ["city=Oslo", "city=Ulm"]
    assert found.splits["id"].tolist() == [f"r{i}" for i in range(n)]
    sides = found.splits.assign(patient=patient).groupby("patient")["split"].nunique()
    assert sides.max() == 1


@pytest.mark.parametrize(
    "spelt", [["4", "4.0", "4.00", "3.5", "3.50"], [4.0, 4.0, 4.0, 3.5, 3.5], ["4.", "4.0 ", "4", "3.5", "3.5"]]
)
def test_one_number_is_one_class(tmp_path: Path, spelt: list[Any]) -> None:
    table = pd.DataFrame({"x": np.arange(20.0) ** 2, "rating": spelt * 4}, dtype=object)
    if spelt[0] == "4.":
        table["rating"] = table["rating"].str.replace("4.", "4.0", regex=False).str.replace("4.00", "4.0", regex=False)
    found, _ = prepared(tmp_path, table, {"rating": Multiclass()})
    task = found.tasks["rating"]
    assert task.classes == [3.5, 4.0]  # type: ignore[attr-defined]
    for other in (["3.50", "4"], [3.5, 4.0], np.array([3.5, 4], "float32"), ["3.5", "4.000"]):
        labels = task.labels(pd.DataFrame({"rating": other}))
        assert task.encode(labels).values.tolist() == [0, 1]


def test_whole_numbers_are_the_same_classes_in_both_files(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.arange(20.0) ** 2, "stage": [1.0, 2.0, np.nan, 10.0] * 5})
    found, _ = prepared(tmp_path, table, {"stage": Multiclass()})
    assert found.tasks["stage"].classes == [1, 2, 10]  # type: ignore[attr-defined]
    table.to_parquet(tmp_path / "t.parquet")
    examples = found.reader.read(str(tmp_path / "t.parquet"), lambda line: None)
    part: Part = examples.part(found.tasks)
    assert part.targets["stage"].values[part.targets["stage"].mask].tolist() == [0, 1, 2] * 5


def test_zip_codes_keep_their_zeros(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.arange(20.0) ** 2, "zip": ["00700", "0700", "10115", "00700"] * 5})
    found, _ = prepared(tmp_path, table, {"zip": Multiclass()})
    assert found.tasks["zip"].classes == ["00700", "0700", "10115"]  # type: ignore[attr-defined]


def test_ids_and_groups_are_as_written(tmp_path: Path) -> None:
    tickers = ["NA", "null", "nan", "N/A", "007", "TRUE", "1.0"] + [f"T{i}" for i in range(13)]
    table = pd.DataFrame({"x": np.arange(20.0), "y": np.arange(20.0) ** 2, "t": tickers, "g": tickers[::-1]})
    found, said = prepared(tmp_path, table, {"y": Regression()}, id="t", split=SplitConfig(val=0, group="g"))
    assert found.splits["t"].tolist() == tickers
    assert found.reader.read(str(tmp_path / "t.csv"), said.append).ids.tolist() == tickers
    assert said == []


def test_usual_words_are_no_label_and_said_to_be(tmp_path: Path) -> None:
    labels = ["T cell", "B cell", "Unknown", "nan", "None", "unassigned", "", "T cell"]
    table = pd.DataFrame({"x": np.arange(40.0), "cell": labels * 5})
    found, said = prepared(tmp_path, table, {"cell": Binary()})
    assert rows(found, "cell").notna().tolist() == [True, True, *[False] * 5, True] * 5
    assert said == ["{}: 20 × 'nan', 'None', 'Unknown', 'unassigned' in 'cell' are no label "
                    "(dataset.no_label lists such words)".format(tmp_path / "t.csv")]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "keys", "classes"),
    [
        (Multiclass(), {"no_label": []}, ["T", "Unknown", "other"]),
        (Multiclass(), {"no_label": ["other"]}, ["T", "Unknown"]),
        (Multiclass(mapping={"T": "t", "other": "o", "Unknown": "u"}), {}, ["o", "t", "u"]),
        (Multiclass(mapping={"T": "t", "other": "o", "Unknown": None}), {}, ["o", "t"]),
        (Multiclass(mapping={"T": "t", "other": None, "Unknown": "u"}), {}, ["t", "u"]),
        (Multiclass(class_weights={"Unknown": 2.0}), {}, ["T", "Unknown", "other"]),
        (Binary(positive="Unknown"), {"no_label": ["other"]}, ["T", "Unknown"]),
    ],
)
def test_the_user_says_what_is_no_label(
    tmp_path: Path, task: TaskConfig, keys: dict[str, Any], classes: list[str]
) -> None:
    table = pd.DataFrame({"x": np.arange(40.0), "cell": ["T", "other", "Unknown", "T"] * 10})
    found, _ = prepared(tmp_path, table, {"cell": task}, **keys)
    assert found.tasks["cell"].classes == classes  # type: ignore[attr-defined]


def test_a_number_that_means_no_label(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.arange(40.0), "y": [1.5, -999, 2.5, 3.5] * 10, "k": [0, 1, -1, 1] * 10})
    tasks: dict[str, TaskConfig] = {"y": Regression(), "k": Multiclass()}
    for kind in ("csv", "parquet"):
        table.to_csv(tmp_path / "t.csv", index=False)
        table.to_parquet(tmp_path / "t.parquet")
        made = {"csv": CSV, "parquet": Parquet}[kind]
        source = made(path=str(tmp_path / f"t.{kind}"), no_label=["-1", "-999"], split=SplitConfig(val=0))
        found = source.prepare(tasks, lambda line: None)
        assert rows(found, "y").isna().tolist() == [False, True, False, False] * 10
        assert found.tasks["k"].classes == [0, 1]  # type: ignore[attr-defined]


def test_an_empty_set_of_labels_is_a_label(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": np.arange(40.0), "tags": ["a|b", "None", "b", "unknown"] * 10})
    found, _ = prepared(tmp_path, table, {"tags": Multilabel(none="None")})
    assert rows(found, "tags").tolist()[:3] == ["a|b", "None", "b"]
    assert rows(found, "tags").isna().tolist() == [False, False, False, True] * 10


def test_a_german_table_comes_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, price = rng.normal(size=60).round(2), rng.integers(1000, 9999, 60)
    table = pd.DataFrame({"x": x, "price": price, "n": np.arange(60) % 7})
    text = table.assign(x=[f"{v:.2f}".replace(".", ",") for v in x], price=[f"{p:,}".replace(",", ".") for p in price])
    text.to_csv(tmp_path / "t.csv", sep=";", index=False)
    for keys in ({}, {"decimal": ","}):
        source = CSV(
            path=str(tmp_path / "t.csv"), split=SplitConfig(val=0), features=FeatureConfig(scale="none"), **keys
        )
        found = source.prepare({"price": Regression()}, lambda line: None)
        assert rows(found, "price").tolist() == price.tolist()
        first = text.iloc[:3].assign(x=["1,5", "-2", "1.000,25"])
        first.to_csv(tmp_path / "new.csv", sep=";", index=False)
        read_again = found.reader.read(str(tmp_path / "new.csv"), lambda line: None)
        np.testing.assert_array_equal(read_again.inputs.take(slice(None))[:, 0], [1.5, -2, 1000.25])
        assert read_again.table["price"].tolist() == price[:3].tolist()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("y", r"tasks.y: '1e\+300' in row 4 of column 'y' is too large to learn; .* dataset.no_label"),
        ("x", r"'1e\+300' in row 4 of column 'x' is too large to learn from; .* dataset.missing"),
    ],
)
def test_numbers_that_cannot_be_computed_with(tmp_path: Path, column: str, message: str) -> None:
    table = pd.DataFrame({"x": np.arange(20.0), "y": np.arange(20.0) ** 2})
    table.loc[3, column] = 1e300
    with pytest.raises(UserError, match=message):
        prepared(tmp_path, table, {"y": Regression()})


def test_labels_that_are_no_numbers_are_shown() -> None:
    with pytest.raises(
        UserError, match=r"19 of 20 values of the column 'x' are numbers; not '<5'; kind: censored .*no_label=\['<5'\]"
    ):
        read([*map(str, range(19)), "<5"], "number")
