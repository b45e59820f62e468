"""Tables in workbooks, ARFF, JSON lines, Feather and parquet, and in several files."""

from __future__ import annotations

import datetime
import random
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.data.table_files.config import ARFF, Excel, Feather, JSONLines
from mtl_cli.data.tables.config import CSV, Parquet, TableSource
from tests.conftest import InProcess, houses
from tests.workbooks import Rows, write_ods, write_xlsx

DAY = datetime.date
CELLS: Rows = [
    ["name", "area", "rooms", "sold", "day", 2020, "code"],
    ["a", 80.5, 3, True, DAY(2020, 1, 5), 1, "007"],
    ["b ", 60, 2, False, DAY(9999, 12, 31), None, "8"],
    [None, None, 4, None, None, 2.5, "x"],
    [None] * 7,
    ["n/a", 1e6, 1, True, DAY(2021, 5, 6), 3, 9],
]


def silent(line: str) -> None:
    raise AssertionError(line)


@pytest.mark.parametrize("suffix", [".xlsx", ".ods"])
def test_cells_of_a_workbook_have_the_types_they_have_there(suffix: str, tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    path = tmp_path / f"t{suffix}"
    if suffix == ".ods":
        write_ods(path, "A", CELLS)
    else:
        write_xlsx(path, {"A": CELLS})
    table = Excel(path=str(path)).read([], silent)
    assert list(table.columns) == ["name", "area", "rooms", "sold", "day", "2020", "code"] and len(table) == 4
    assert table["name"].tolist()[:2] == ["a", "b"] and table["name"].isna().tolist() == [False, False, True, False]
    assert table["rooms"].dtype == "int64" and table["area"].dtype == "float64"
    assert table["sold"].tolist() == [True, False, None, True]
    assert [str(day)[:10] for day in table["day"]] == ["2020-01-05", "9999-12-31", "NaT", "2021-05-06"]
    assert table["code"].tolist() == ["007", "8", "x", "9"], "a column with words is text, as it is in CSV"


def test_a_sheet_is_chosen_and_errors_in_cells_are_empty(tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    path, told = tmp_path / "t.xlsx", list[str]()
    write_xlsx(path, {"A": [["q", "r"], [1, "#DIV/0!"], ["#N/A", 2]], "B b": [["s"], [7]]})
    table = Excel(path=str(path)).read([], told.append)
    assert table["r"].tolist()[1] == 2 and table.isna().sum().tolist() == [1, 1]
    assert told == [
        f"{path}: the first sheet, 'A', is read; dataset.sheet=NAME takes another: 'B b'",
    ]
    for sheet in ("B b", "2"):
        assert Excel(path=str(path), sheet=sheet).read([], silent)["s"].tolist() == [7]
    with pytest.raises(UserError, match="has no sheet 'C'"):
        Excel(path=str(path), sheet="C").read([], silent)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a,b\n1,2\n", "is not a workbook: .*is it text"),
        (b"", "the file is empty"),
        (b"PK\x03\x04" + bytes(300), "is damaged, or no workbook"),
        (b"\xd0\xcf\x11\xe0" + bytes(2000), "is damaged, or no workbook"),
    ],
)
def test_what_is_no_workbook(data: bytes, message: str, tmp_path: Path) -> None:
    pytest.importorskip("python_calamine")
    path = tmp_path / "t.xlsx"
    path.write_bytes(data)
    with pytest.raises(UserError, match=message):
        Excel(path=str(path)).read([], silent)


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text('{"a": 1, "b": "x", "f": true}\n\n{"a": 2.5, "b": null, "c": 3}\n{"a": null, "b": 7, "f": false}\n')
    table = JSONLines(path=str(path)).read([], silent)
    pd.testing.assert_frame_equal(
        table,
        pd.DataFrame(
            {
                "a": [1, 2.5, None],
                "b": pd.Series(["x", None, "7"], dtype="str"),
                "f": pd.Series([True, None, False], dtype="object"),
                "c": [None, 3.0, None],
            }
        ),
    )
    path.write_text('[{"id": "007", "day": "2020-01-05"}, {"id": "8", "day": ""}]')
    assert JSONLines(path=str(path)).read([], silent)["id"].tolist() == ["007", "8"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}\n{"a": 2\n', "line 2 is not JSON: Expecting ',' delimiter; a row is {…} in one line"),
        ('{"a": 1}\n3\n', "line 2 is not an object with the columns' names"),
        ("[1, 2]", "row 1 is not an object"),
        ('[{"a": 1}', "is not JSON"),
        ("[" * 100_000, "is not JSON: maximum recursion"),
        ("", "the file is empty"),
        ('{"": 1}', "column 1 has no name"),
    ],
)
def test_what_is_no_json(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        JSONLines(path=str(path)).read([], silent)
    assert str(caught.value).startswith(f"{path}: {message}")


FLOWERS = """% Flowers
@RELATION iris
@ATTRIBUTE 'sepal length' NUMERIC
@attribute petal real
@attribute class {setosa, 'iris virginica', "it's"}
@attribute note string
@attribute day date "yyyy-MM-dd"
@data
5.1,3.5,setosa,'a, b','2020-01-05'
?,2,'iris virginica',?,?
4,  1e3 , "it's", x y, 2020-02-01
{0 3, 2 'iris virginica'}
"""


def test_arff(tmp_path: Path) -> None:
    path = tmp_path / "t.arff"
    path.write_text(FLOWERS)
    table = ARFF(path=str(path)).read([], silent)
    assert table["sepal length"].fillna(-1).tolist() == [5.1, -1, 4, 3]
    assert table["petal"].tolist() == [3.5, 2, 1000, 0]
    assert table["class"].astype("object").tolist() == ["setosa", "iris virginica", "it's", "iris virginica"]
    assert list(table["class"].cat.categories) == ["setosa", "iris virginica", "it's"]
    assert table["note"].fillna("-").tolist() == ["a, b", "-", "x y", "-"]
    assert table["day"].fillna("-").tolist() == ["2020-01-05", "-", "2020-02-01", "-"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "line 1 is not ARFF: 'a,b'"),
        ("@relation x\n@data\n1\n", "is not ARFF: it has no @attribute before @data"),
        ("@attribute a numeric\n@data\nq\n", "'q' in line 3 of attribute 'a' is not a number"),
        ("@attribute a {x,y}\n@attribute b real\n@data\nz,1\n", "'z' in line 4 of attribute 'a' is not one of"),
        ("@attribute a real\n@data\n1,2\n", "line 3 has 2 fields, there are 1 attributes"),
        ("@attribute a relational\n@data\n", "line 1: the attribute 'a' is of the type 'relational'"),
        ("@attribute a {x\n@data\n", "line 1: the attribute 'a' has no type that can be read"),
        ("@attribute a real\n@attribute b real\n@data\n{2 5}\n", "line 4 cannot be read as a sparse row"),
        ("@attribute a real\n@data\n", "the table has no row"),
    ],
)
def test_what_is_no_arff(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "t.arff"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        ARFF(path=str(path)).read([], silent)
    assert str(caught.value).startswith(f"{path}: {message}")


def indexed() -> pd.DataFrame:
    return pd.DataFrame(
        {"x": np.arange(6.0), "y": list("abcabc"), "flag": [True, False] * 3, "day": pd.date_range("2020", periods=6)}
    )


@pytest.mark.parametrize("kind", [Parquet, Feather])
def test_typed_files_keep_their_types(kind: type[TableSource], tmp_path: Path) -> None:
    path = tmp_path / "t"
    (indexed().to_parquet if kind is Parquet else indexed().to_feather)(path)
    pd.testing.assert_frame_equal(kind(path=str(path)).read([], silent), indexed(), check_dtype=False)


@pytest.mark.parametrize("index", [pd.Index(list("pqrstu"), name="pid"), pd.RangeIndex(3, 9, name="pid")])
def test_named_levels_of_an_index_are_columns(index: pd.Index, tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    indexed().set_index(index).to_parquet(path)
    table = Parquet(path=str(path)).read([], silent)
    assert table["pid"].tolist() == index.tolist() and list(table.index) == list(range(6))


def test_several_levels_and_levels_without_a_name(tmp_path: Path) -> None:
    path, told = tmp_path / "t.parquet", list[str]()
    levels = pd.MultiIndex.from_product([["u", "v"], [1, 2, 3]], names=["site", "visit"])
    indexed().set_index(levels).to_parquet(path)
    table = Parquet(path=str(path)).read([], silent)
    assert table["site"].tolist() == list("uuuvvv") and table["visit"].tolist() == [1, 2, 3] * 2
    indexed().set_index(pd.Index(list("pqrstu"))).to_parquet(path)
    assert list(Parquet(path=str(path)).read([], told.append).columns) == list(indexed().columns)
    assert told == [f"{path}: the index, such as 'p', has no name and is left out"]


@pytest.mark.parametrize("kind", [Parquet, Feather])
def test_a_damaged_file_is_one_line(kind: type[TableSource], tmp_path: Path) -> None:
    path, stream, draw = tmp_path / "t", BytesIO(), random.Random(0)
    (indexed().to_parquet if kind is Parquet else indexed().to_feather)(stream)
    good, refused = stream.getvalue(), 0
    for _ in range(150):
        data = bytearray(good[: draw.choice([len(good), draw.randrange(4, len(good))])])
        for place in draw.sample(range(max(0, len(data) - 1500), len(data)), 2):
            data[place] = draw.randrange(256)
        path.write_bytes(data)
        try:
            kind(path=str(path)).read([], lambda line: None)
        except UserError as error:
            refused += "\n" not in str(error)
    assert refused > 75


def test_a_pattern_reads_several_files_as_one_table(tmp_path: Path) -> None:
    table = houses()
    for part in range(3):
        table.iloc[part * 80 : part * 80 + 80].to_csv(tmp_path / f"part-{part}.csv", index=False)
    told: list[str] = []
    pattern = str(tmp_path / "part-*.csv")
    found = CSV(path=pattern).read(["house"], told.append)
    table.to_csv(tmp_path / "whole.csv", index=False)
    pd.testing.assert_frame_equal(found, CSV(path=str(tmp_path / "whole.csv")).read(["house"], silent))
    assert told == [f"{pattern}: 3 files, {tmp_path / 'part-0.csv'} to {tmp_path / 'part-2.csv'}"]
    pd.testing.assert_frame_equal(pd.concat(CSV(path=pattern).chunks(50, ["house"], lambda line: None)), found)


def test_columns_of_several_files_must_agree(tmp_path: Path) -> None:
    source = CSV(path=str(tmp_path / "*.csv"))
    (tmp_path / "a.csv").write_text("x,y\n1.50,2\n")
    (tmp_path / "b.csv").write_text("y,x\n4,q\n")
    table = source.read([], lambda line: None)
    assert table["x"].tolist() == ["1.50", "q"] and table["y"].tolist() == [2, 4], "text in one file is text in all"
    (tmp_path / "b.csv").write_text("y,z\n4,q\n")
    with pytest.raises(UserError, match=r"b\.csv: has no column 'x', which .*a\.csv has"):
        source.read([], silent)
    (tmp_path / "b.csv").write_text("y,z,x\n4,q,1\n")
    with pytest.raises(UserError, match=r"b\.csv: has a column 'z', which .*a\.csv does not have"):
        source.read([], silent)
    with pytest.raises(UserError, match="no file's name fits the pattern"):
        CSV(path=str(tmp_path / "*.tsv")).read([], silent)


@pytest.mark.parametrize("form", ["jsonl", "feather", "csv.zst", "xlsx"])
def test_a_run_is_trained_on_one_form_and_predicts_another(form: str, mtl: InProcess) -> None:
    table = houses(120)[["area", "rooms", "garden", "price"]]
    path = Path(f"houses.{form}")
    if form == "jsonl":
        table.to_json(path, orient="records", lines=True)
    elif form == "feather":
        table.to_feather(path)
    elif form == "xlsx":
        pytest.importorskip("python_calamine")
        rows = [[None if pd.isna(cell) else cell for cell in row] for row in table.astype("object").to_numpy().tolist()]
        write_xlsx(path, {"A": [list(table.columns), *rows]})
    else:
        import pyarrow

        path.write_bytes(pyarrow.compress(table.to_csv(index=False).encode(), "zstd", asbytes=True))
    table.to_csv("houses.csv", index=False)
    words = ["tasks={price: regression}", "plots=false", "trainer.epochs=1", "run_dir=run"]
    assert mtl("train", f"dataset={path}", *words)[0] == 0
    status, out, err = mtl("predict", "run", str(path))
    assert (status, err) == (0, "")
    assert mtl("predict", "run", "houses.csv")[1] == out


def test_a_file_of_another_form_is_told_so(mtl: InProcess) -> None:
    Path("t.sav").write_bytes(b"$FL2")
    status, out, err = mtl("train", "dataset=t.sav", "tasks={y: regression}")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "dataset: 't.sav' is of a form that is not read; export it as CSV or parquet" in err
    Path("parts").mkdir()
    assert (
        "give a file in it, or a pattern such as 'parts/*.csv'" in mtl("train", "dataset=parts", "tasks={y: binary}")[2]
    )
