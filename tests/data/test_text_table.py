"""Reading delimited text, and refusing what is none."""

from __future__ import annotations

import gzip

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.errors import UserError
from mtl_cli.data.tables.text import SEPARATORS, detect_separator, read_text_table


def read(text: str | bytes, **options: object) -> pd.DataFrame:
    data = text.encode() if isinstance(text, str) else text
    return read_text_table(data, "t.csv", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("separator", SEPARATORS)
def test_the_separator_is_found(separator: str) -> None:
    table = read(separator.join("abc") + "\n" + separator.join(["1", "x y", "2.5"]) + "\n")
    assert list(table.columns) == ["a", "b", "c"]
    assert table.loc[0, "c"] == 2.5


def test_commas_inside_quotes_do_not_mislead() -> None:
    assert detect_separator('a;b\n"1,2,3,4";5\n"6,7,8,9";0\n') == ";"


@settings(derandomize=True, max_examples=60, deadline=None)
@given(
    st.sampled_from(SEPARATORS),
    st.lists(st.lists(st.integers(-999, 999), min_size=3, max_size=3), min_size=1, max_size=20),
)
def test_any_table_of_numbers_comes_back(separator: str, rows: list[list[int]]) -> None:
    expected = pd.DataFrame(rows, columns=["a", "b", "c"])
    pd.testing.assert_frame_equal(read(expected.to_csv(sep=separator, index=False)), expected)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_the_encoding_is_found(encoding: str) -> None:
    notices: list[str] = []
    table = read("naïve;b\nné;1\n".encode(encoding), notice=notices.append)
    assert list(table.columns) == ["naïve", "b"]
    assert table.iloc[0, 0] == "né"
    assert bool(notices) == (encoding == "cp1252"), "a guess is said aloud"


def test_a_given_encoding_is_taken() -> None:
    assert read("é,b\n1,2\n".encode("latin-1"), encoding="latin-1").columns[0] == "é"


def test_gzip_is_unpacked() -> None:
    assert len(read(gzip.compress(b"a,b\n1,2\n"))) == 1


def test_decimal_commas() -> None:
    assert read("a;b\n1,5;2\n", decimal=",").loc[0, "a"] == 1.5


def test_text_columns_stay_as_written() -> None:
    assert read("id,b\n007,1\n", text_columns=["id"]).loc[0, "id"] == "007"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "t.csv: the file is empty"),
        (b"\n \n", "t.csv: the file is empty"),
        (b"a,b\n", "t.csv: there is a header and no row"),
        (b'a,b\n1,"2\n' + b"x," * 100_000, "t.csv: line 2 cannot be read"),
        (b"a,a\n1,2\n", "t.csv: two columns are called 'a'; rename one in the header"),
        (b"a,,c\n1,2,3\n", "t.csv: column 2 has no name"),
        (b",a\n0,1\n", "t.csv: column 1 has no name"),
        (b"a,b\n1,2\n1,2,3\n", "t.csv: line 3 has 3 fields, the header has 2"),
        (b"a,b\n1,2,3\n1,2,3\n", "t.csv: line 2 has 3 fields, the header has 2"),
        (b"PAR1xxxx", "t.csv: is a parquet file, not text; use dataset=parquet"),
        (b"\x89PNG\r\n", "t.csv: is a PNG image, not text"),
        (b"a,b\n\x00\x01,2\n", "t.csv: is not a table of text"),
        (b"a,b\n\x81,2\n", "t.csv: byte 0x81 in line 2 is not UTF-8; give its encoding"),
        (b"\x1f\x8b\x08broken", "t.csv: is cut off: the gzip stream has no end; copy or fetch the file again"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read(data)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_wrong_separator_is_named_with_the_likely_one() -> None:
    with pytest.raises(UserError, match=r"has one column only.*dataset.separator=';'"):
        read("a;b\n1;2\n", separator=",")


def test_a_tab_may_be_written_as_people_type_it() -> None:
    assert list(read("a\tb\n1\t2\n", separator="\\t").columns) == ["a", "b"]
    with pytest.raises(UserError, match="must be one character, not '::'"):
        read("a,b\n1,2\n", separator="::")


def test_leading_blank_lines_and_quotes_after_spaces() -> None:
    table = read('\n\n"x", "y z"\n1, 2\n')
    assert list(table.columns) == ["x", "y z"]


def test_what_stands_for_an_empty_cell() -> None:
    text = "a,b\nNA,1\n,2\nNone,3\n"
    assert read(text)["a"].isna().tolist() == [True, True, False]
    assert read(text, missing=[])["a"].isna().tolist() == [False, True, False]


def test_columns_as_written_know_no_word_for_an_empty_cell() -> None:
    table = read("ticker,b\nNA,1\nnull,NA\nnan,3\n,4\n", text_columns=["ticker"])
    assert table["ticker"].isna().tolist() == [False, False, False, True]
    assert table["b"].isna().tolist() == [False, True, False, False]


def test_an_unknown_encoding() -> None:
    with pytest.raises(UserError, match="there is no encoding 'utf-9'"):
        read("a,b\n1,2\n", encoding="utf-9")
