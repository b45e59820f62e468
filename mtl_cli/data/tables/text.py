"""Reading a table from delimited text, with every way it can go wrong named."""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
MISSING = ["NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "#N/A", "<NA>"]
"""How other programs write an empty cell."""
_MAGIC = {
    b"PAR1": "a parquet file",
    b"PK\x03\x04": "a zip file (xlsx?)",
    b"\x89PNG": "a PNG image",
    b"\x89HDF": "an HDF5 file",
}
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f]")


def read_text_table(
    data: bytes,
    where: str,
    separator: str | None = None,
    encoding: str | None = None,
    decimal: str = ".",
    text_columns: list[str] | None = None,
    missing: list[str] | None = None,
    notice: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:
    """Read delimited text with a header.

    Parameters
    ----------
    data : bytes
        The file, or its gzip.
    where : str
        The file's name for messages.
    separator, encoding : str, optional
        Found from the text where None.
    decimal : str
        The decimal mark of numbers.
    text_columns : list of str, optional
        Columns to keep as they are written; nothing but an empty cell is missing there.
    missing : list of str, optional
        What an empty cell may be written as, beside nothing at all; ``MISSING`` by default.
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If it is no table: empty, binary, undecodable, ragged, one column, no rows, blank or duplicate names.
    """
    import pandas as pd

    text = decode(data, where, encoding, notice)
    if not text.strip():
        raise UserError(where, "the file is empty")
    text = text.lstrip("\r\n")
    separator = _one_character(separator) if separator else detect_separator(text)
    header = [name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=separator, skipinitialspace=True))]
    _check_header(header, separator, text, where)
    wanted = dict.fromkeys((c for c in text_columns or [] if c in header), str)
    words = MISSING if missing is None else missing
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO(text), sep=separator, decimal=decimal, names=header, header=0, dtype=wanted,
                index_col=False, skipinitialspace=True, low_memory=False, keep_default_na=False,
                na_values={name: [""] if name in wanted else ["", *words] for name in header},
            )  # fmt: skip
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        raise UserError(where, _ragged(text, separator, len(header)) or str(error)) from error
    if table.empty:
        raise UserError(where, "there is a header and no row")
    return table


def decode(data: bytes, where: str, encoding: str | None, notice: Callable[[str], None]) -> str:
    """Decode text: as told, else by its byte-order mark, else UTF-8, else cp1252 with a notice."""
    if data[:2] == b"\x1f\x8b":
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError) as error:
            raise UserError(where, f"cannot be unpacked: {error}") from error
    for magic, what in _MAGIC.items():
        if data.startswith(magic):
            hint = "use dataset=parquet" if magic == b"PAR1" else "export it as CSV or parquet"
            raise UserError(where, f"is {what}, not text", hint)
    if encoding is not None:
        return _decode_as(data, where, encoding)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return _decode_as(data, where, "utf-16")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        fault = f"byte 0x{data[error.start]:02x} in line {line} is not UTF-8"
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            raise UserError(where, fault, "give its encoding: dataset.encoding=latin-1") from error
        if not _CONTROL.search(text):
            notice(f"{where}: {fault}; read as cp1252 (dataset.encoding=… overrides this)")
    if _CONTROL.search(text):
        raise UserError(where, "is not a table of text: it holds control characters", "export it as CSV or parquet")
    return text


def _decode_as(data: bytes, where: str, encoding: str) -> str:
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except LookupError as error:
        hint = "for example utf-8, latin-1, cp1252, utf-16"
        raise UserError("dataset.encoding", f"there is no encoding '{encoding}'", hint) from error
    except UnicodeDecodeError as error:
        raise UserError(where, f"byte 0x{data[error.start]:02x} at offset {error.start} is not {encoding}") from error


def detect_separator(text: str) -> str:
    """Return the separator that cuts the first lines into the same number of fields, the most of them."""
    lines = [line for line in io.StringIO(text[:200_000]) if line.strip()][:50]
    best, fields = ",", 1
    for separator in SEPARATORS:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        except csv.Error:
            continue
        if counts and counts[0] > fields and sum(count == counts[0] for count in counts) >= 0.8 * len(counts):
            best, fields = separator, counts[0]
    return best


def _check_header(header: list[str], separator: str, text: str, where: str) -> None:
    if len(header) == 1:
        likely = detect_separator(text)
        if likely != separator and likely in text.split("\n", 1)[0]:
            what = f"has one column only ('{header[0][:40]}') with the separator '{separator}'"
            raise UserError(where, what, f"is the separator '{likely}'? dataset.separator='{likely}'")
    check_names(header, where)


def check_names(names: list[str], where: str) -> None:
    """Raise UserError for a column without a name, or a name that two columns have."""
    if "" in names:
        raise UserError(where, f"column {names.index('') + 1} has no name", "name it in the header, or leave it out")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(where, f"two columns are called '{twice}'", "rename one in the header")


def _one_character(separator: str) -> str:
    character = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
    if len(character) != 1:
        raise UserError("dataset.separator", f"must be one character, not '{separator}'", "or null, to have it found")
    return character


def _ragged(text: str, separator: str, width: int) -> str | None:
    rows = csv.reader(io.StringIO(text), delimiter=separator)
    try:
        for row in rows:
            if len(row) > width:
                return f"line {rows.line_num} has {len(row)} fields, the header has {width}"
    except csv.Error as error:
        return f"line {rows.line_num} cannot be read: {error}; is a quote not closed?"
    return None
