"""Text that is read in pieces: the same table, in memory that does not grow with it, and damaged files in one line."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.data.files import opener
from mtl_cli.data.tables import text
from mtl_cli.data.tables.config import CSV
from mtl_cli.data.tables.text import read_text_table, text_table_chunks

ROWS = 6000


def mixed() -> bytes:
    """A table whose columns look otherwise in their first rows than as a whole."""
    random = np.random.default_rng(0)
    columns = {
        "i": np.arange(ROWS),
        "f": random.normal(size=ROWS),
        "late text": ["1.50"] * (ROWS - 1) + ["x"],
        "early gap": [""] * (ROWS // 2) + ["3"] * (ROWS // 2),
        "flag": ["True"] * (ROWS - 1) + [""],
        "flags": ["True", "False"] * (ROWS // 2),
        "empty": [""] * ROWS,
        "late fraction": ["1"] * (ROWS - 1) + ["2.5"],
        "late name": [""] * (ROWS - 1) + ["end"],
        "id": ["NA", "q"] * (ROWS // 2),
        "line": ["a\nb", "a b"] * (ROWS // 2),
    }
    return pd.DataFrame(columns).to_csv(index=False).encode()


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "PIECE", 20_000)


def whole() -> pd.DataFrame:
    return read_text_table(mixed(), "t.csv", text_columns=["id"])


def test_pieces_make_the_table_that_parsing_at_once_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = whole()
    kinds = expected.dtypes.astype(str).to_dict()
    assert kinds["late text"] == "str" and kinds["late fraction"] == "float64" and kinds["flag"] == "object"
    assert expected["late text"].iloc[0] == "1.50", "as it is written"
    assert list(expected["id"].unique()) == ["NA", "q"]
    monkeypatch.setattr(text, "PIECE", 20_000)
    pd.testing.assert_frame_equal(whole(), expected)


@pytest.mark.parametrize("rows", [1, 999, 2500, ROWS])
def test_chunks_are_the_table_cut_in_pieces(rows: int) -> None:
    data = mixed()
    if rows == 1:
        data = data.split(b"\n", 1)[0] + b"\n" + b"\n".join(data.split(b"\n")[-20:])
    expected = read_text_table(data, "t.csv", text_columns=["id"])
    chunks = list(text_table_chunks(data, "t.csv", rows, text_columns=["id"]))
    assert {len(chunk) for chunk in chunks[:-1]} <= {rows}
    for chunk in chunks:
        pd.testing.assert_series_equal(chunk.dtypes, expected.dtypes)
    pd.testing.assert_frame_equal(pd.concat(chunks), expected)


def test_a_text_column_keeps_its_text_in_every_piece(small_pieces: None) -> None:
    table = read_text_table(b"a,b\n" + b"007,1\n" * ROWS + b",2\n", "t.csv", text_columns=["a"])
    assert table["a"].iloc[ROWS // 2] == "007" and table["a"].isna().sum() == 1


PACKED = {".gz": gzip.compress, ".zst": lambda data: bytes(pa.compress(data, "zstd", asbytes=True))}


@pytest.mark.parametrize("suffix", PACKED)
def test_compressed_files_are_read_and_damaged_ones_named(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.csv{suffix}"
    packed = PACKED[suffix](mixed())
    path.write_bytes(packed)
    pd.testing.assert_frame_equal(
        CSV(path=str(path)).read(["id"], print).drop(columns="id"), whole().drop(columns="id")
    )
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match="is cut off: the .* stream has no end; copy or fetch the file again"):
        CSV(path=str(path)).read([], print)
    middle = len(packed) // 2
    path.write_bytes(packed[:middle] + bytes(64) + packed[middle + 64 :])
    with pytest.raises(UserError, match="is a damaged .* file"):
        CSV(path=str(path)).read([], print)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_lines_end_as_any_system_ends_them(end: str) -> None:
    table = read_text_table(f"a;b{end}1;x{end}2;y{end}".encode(), "t.csv")
    assert table["a"].tolist() == [1, 2] and table["b"].tolist() == ["x", "y"]


@pytest.mark.parametrize(
    "data",
    [b'a,"b\n1,2\n3,4\n', b'a,"b,c\n1,"2,3\n4,5,6\n', b'"a,b\r1,2\r', b'a,"' + b"x" * 200_000 + b"\n1,2\n"],
)
def test_an_open_quote_in_the_header_is_named(data: bytes) -> None:
    with pytest.raises(UserError, match=r"^t.csv: a quote in the header is not closed: '"):
        read_text_table(data, "t.csv")


@pytest.mark.parametrize("end", ["\n", "\r\n", " \n "])
def test_a_line_break_in_a_name_is_a_space(end: str) -> None:
    assert list(read_text_table(f'" price{end}(EUR)",b\n1,2\n'.encode(), "t.csv").columns) == ["price (EUR)", "b"]


@pytest.mark.parametrize("length", [130_000, 200_000, 3_000_000])
def test_fields_may_be_long(length: int) -> None:
    table = read_text_table(b'a;b\n1;"' + b"x" * length + b'"\n2;y\n', "t.csv")
    assert len(table["b"].iloc[0]) == length and len(table) == 2


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"a,b,c\n1,2\n3,4,5\n", "line 2 has 2 fields, the header has 3; the rest is read as empty"),
        (
            b"a,b,c\n1,2,3\nSource: X\n4\n",
            "line 3 has 1 fields, the header has 3 (and 1 more such lines); the rest is read as empty",
        ),
        (
            b'a,b,c\n1,"2,3\n3,4,5\n3,4",6\n1,2,3\n',
            "a quoted field that begins in line 2 holds 2 lines that look like rows; is a quote not closed?",
        ),
        (b"a,b,c\n1,2,\n3,4,5\n", None),
        (b'a,b\n1,"two\nlines"\n\n2,x\n', None),
    ],
)
def test_lines_that_do_not_fit_are_told(data: bytes, line: str | None) -> None:
    told: list[str] = []
    read_text_table(data, "t.csv", notice=told.append)
    assert told == ([f"t.csv: {line}"] if line else [])


MEASURE = """
import resource, sys
import pandas, pyarrow
from mtl_cli.data.tables.config import CSV
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
CSV(path=sys.argv[1]).read([], print)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_reading_needs_less_than_four_times_the_file(tmp_path: Path) -> None:
    random, path = np.random.default_rng(0), tmp_path / "t.csv"
    part = pd.DataFrame(
        {f"x{i}": random.normal(size=4000) for i in range(30)}
        | {f"n{i}": random.integers(0, 1000, 4000) for i in range(10)}
        | {f"c{i}": random.choice(["alpha", "beta", "gamma delta"], 4000) for i in range(10)}
    ).to_csv(index=False)
    header, rows = part.split("\n", 1)
    path.write_text(header + "\n" + rows * 15)
    found = subprocess.run([sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True)
    assert int(found.stdout) * 1024 < 4 * path.stat().st_size, "pieces of some 100 MB, and the table"


def test_standard_input_is_read_once_and_opened_often(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(mixed())
    with path.open() as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        again = opener("-")
    assert [again().read(), again().read()] == [mixed(), mixed()]
