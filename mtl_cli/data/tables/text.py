"""Reading a table from delimited text, whole or in pieces, with every way it can go wrong named."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.data.files import Opener, opener_of
from mtl_cli.data.tables.encoding import HEAD, TextFile, look_at
from mtl_cli.data.tables.lines import check_lines, long_fields, ragged

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = ",;\t|"
MISSING = ["NA", "N/A", "n/a", "NaN", "nan", "-nan", "NULL", "null", "#N/A", "<NA>"]
"""How other programs write an empty cell."""


class ReadingKeys(TypedDict, total=False):
    """The keys of a data set that say how its text is read.

    Parameters
    ----------
    separator, encoding : str, optional
        Found from the text where None.
    decimal : str, optional
        The decimal mark of numbers; a point where None.
    missing : list of str
        What an empty cell may be written as, beside nothing at all; ``MISSING`` by default.
    """

    separator: str | None
    encoding: str | None
    decimal: str | None
    missing: list[str]


PIECE = 8 * 2**20
"""Characters that are parsed at once: the parser needs some ten times their size."""


def read_text_table(
    data: bytes | Opener,
    where: str,
    text_columns: list[str] | None = None,
    notice: Callable[[str], None] = lambda line: None,
    **keys: Unpack[ReadingKeys],
) -> pd.DataFrame:
    """Read delimited text with a header.

    Parameters
    ----------
    data : bytes or callable
        The file, plain or compressed, or what opens it (``data.files.opener``): then it is never in memory as a whole.
    where : str
        The file's name for messages.
    text_columns : list of str, optional
        Columns to keep as they are written; nothing but an empty cell is missing there.
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If it is no table: empty, binary, undecodable, ragged, one column, no rows, blank or duplicate names.
    """
    import pandas as pd

    text = _open(data, where, text_columns or [], notice, keys)
    pieces: dict[str, list[Any]] = {name: [] for name in text.header}
    for piece in text.pieces():
        for name in text.header:  # apart, so that no piece is kept for one of its columns
            pieces[name].append(_array(piece[name]))
    kinds = {name: _combined(_kind(column) for column in columns) for name, columns in pieces.items()}
    rows = sum(len(column) for column in pieces[text.header[0]])
    if not rows:
        raise UserError(where, "there is a header and no row")
    mixed = [name for name, kind in kinds.items() if kind == MIXED]
    for name in mixed:
        pieces[name] = []
    for piece in text.pieces(mixed, only=mixed) if mixed else ():
        for name in mixed:
            pieces[name].append(_array(piece[name]))
    columns = {name: _joined(pieces.pop(name), kinds[name]) for name in text.header}
    table = pd.DataFrame(columns, copy=False)
    check_lines(text.file, text.separator, text.header, rows, bool(table[text.header[-1]].isna().any()), notice)
    return table


def text_table_chunks(
    data: bytes | Opener,
    where: str,
    rows: int,
    text_columns: list[str] | None = None,
    notice: Callable[[str], None] = lambda line: None,
    **keys: Unpack[ReadingKeys],
) -> Iterator[pd.DataFrame]:
    """Read delimited text in tables of at most ``rows`` rows, in memory that does not grow with the file.

    The tables are what ``read_text_table`` returns, cut in pieces: the same types, the same index. For that the file is
    read through twice. The other arguments, and the errors, are those of ``read_text_table``.
    """
    text = _open(data, where, text_columns or [], notice, keys)
    seen: dict[str, set[str]] = {name: set() for name in text.header}
    total, short = 0, False
    for piece in text.pieces():
        for name in text.header:
            seen[name].add(_kind(_array(piece[name])))
        total += len(piece)
        short = short or bool(piece[text.header[-1]].isna().any())
    if not total:
        raise UserError(where, "there is a header and no row")
    check_lines(text.file, text.separator, text.header, total, short, notice)
    kinds = {name: _combined(found) for name, found in seen.items()}
    yield from text.chunks(rows, kinds)


@dataclass(frozen=True)
class _Text:
    """Delimited text, ready to be parsed."""

    file: TextFile
    header: list[str]
    separator: str
    decimal: str
    as_text: list[str]
    missing: dict[str, list[str]]

    def pieces(
        self, as_text: list[str] | None = None, only: list[str] | None = None, rows: int | None = None
    ) -> Iterator[pd.DataFrame]:
        """Parse all rows, so many at a time, each column in the type of its values there.

        Parameters
        ----------
        as_text : list of str, optional
            The columns to parse as text, by default those that are to be.
        only : list of str, optional
            The columns to parse, by default all.
        rows : int, optional
            By default as many as ``PIECE`` characters hold.
        """
        import pandas as pd

        wanted = dict.fromkeys(self.as_text if as_text is None else as_text, str)
        lines = self.file.head.count("\n") or self.file.head.count("\r") or 1
        size = rows or max(1000, PIECE * lines // len(self.file.head))
        try:
            with warnings.catch_warnings(), self.file.open() as stream:
                warnings.simplefilter("error", pd.errors.ParserWarning)
                yield from pd.read_csv(
                    stream, sep=self.separator, decimal=self.decimal, names=self.header, header=0, dtype=wanted,
                    usecols=only, index_col=False, skipinitialspace=True, low_memory=False, keep_default_na=False,
                    na_values=self.missing, chunksize=size,
                )  # fmt: skip
        except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError, OverflowError) as error:
            fault = ragged(self.file, self.separator, len(self.header))
            raise UserError(self.file.where, fault or str(error)) from error

    def chunks(self, rows: int, kinds: dict[str, str]) -> Iterator[pd.DataFrame]:
        """Parse all rows, so many at a time, each column in the type that ``kinds`` says it has as a whole."""
        import pandas as pd

        texts = [name for name, kind in kinds.items() if kind in ("str", MIXED)]
        for piece in self.pieces(texts, rows=rows):
            columns = {name: _joined([_array(piece[name])], kinds[name]) for name in self.header}
            yield pd.DataFrame(columns, index=piece.index, copy=False)


def _open(
    data: bytes | Opener,
    where: str,
    text_columns: list[str],
    notice: Callable[[str], None],
    keys: ReadingKeys,
) -> _Text:
    open_bytes = opener_of(data, where) if isinstance(data, bytes) else data
    file = look_at(open_bytes, where, keys.get("encoding"), notice)
    separator = keys.get("separator")
    mark = one_character(separator) if separator else detect_separator(file.head)
    header = _header(file, mark)
    _check_header(header, mark, file)
    words = ["", *keys.get("missing", MISSING)]
    as_text = [name for name in dict.fromkeys(text_columns) if name in header]
    missing = {name: [""] if name in as_text else words for name in header}
    return _Text(file, header, mark, keys.get("decimal") or ".", as_text, missing)


EMPTY, MIXED = "empty", "mixed"
"""A column without a value, and one of numbers in some pieces and of text in others."""


def _array(column: pd.Series) -> Any:
    """Return a column's values, in memory of their own."""
    import pandas as pd

    return column.array if isinstance(column.dtype, pd.StringDtype) else column.to_numpy(copy=True)


def _kind(values: Any) -> str:
    """Return what a piece of a column holds: its type, or that it is empty."""
    import pandas as pd

    if isinstance(values.dtype, pd.StringDtype):
        return "str"
    if values.dtype.kind == "f" and np.isnan(values).all():
        return EMPTY
    if values.dtype.kind == "O" and not all(isinstance(value, bool) for value in values[~pd.isna(values)]):
        return MIXED  # whole numbers beyond 64 bits
    return str(values.dtype.name)


def _combined(kinds: Iterable[str]) -> str:
    """Return the type of a column whose pieces are of ``kinds``: that which parsing it at once gives it."""
    found = set(kinds)
    full = found - {EMPTY}
    if full == {"str"}:
        return "str"
    if full and full <= {"bool", "object"}:
        return "bool" if found == {"bool"} else "object"
    if full <= {"int64", "uint64", "float64"}:
        return np.result_type(*full, *(["float64"] if EMPTY in found else [])).name
    return MIXED


def _joined(pieces: list[Any], kind: str) -> Any:
    """Return a column of its pieces, in the type ``kind``."""
    import pandas as pd

    if kind in ("str", MIXED):
        texts = [piece if _kind(piece) == "str" else pd.array(piece, dtype="str") for piece in pieces]
        return texts[0] if len(texts) == 1 else type(texts[0])._concat_same_type(texts)
    return np.concatenate([np.asarray(piece).astype(kind, copy=False) for piece in pieces])


def one_character(separator: str) -> str:
    """Return the separator that a config names. Raises UserError if it is more than a character."""
    character = {"\\t": "\t", "tab": "\t"}.get(separator, separator)
    if len(character) != 1:
        raise UserError("dataset.separator", f"must be one character, not '{separator}'", "or null, to have it found")
    return character


def detect_separator(text: str) -> str:
    """Return the separator that cuts the first lines into the same number of fields, the most of them."""
    lines = [line for line in io.StringIO(text[:HEAD], newline="") if line.strip()][:50]
    best, fields = ",", 1
    for separator in SEPARATORS:
        try:
            with long_fields():
                counts = [len(row) for row in csv.reader(lines, delimiter=separator) if row]
        except csv.Error:
            continue
        if counts and counts[0] > fields and sum(count == counts[0] for count in counts) >= 0.8 * len(counts):
            best, fields = separator, counts[0]
    return best


def _header(file: TextFile, separator: str) -> list[str]:
    """Return the names of the columns. Raises UserError if a quote is not closed."""
    read: list[str] = []

    def lines() -> Iterator[str]:
        for line in stream:
            read.append(line)
            yield line

    with long_fields(), file.open() as stream:
        rows = csv.reader(lines(), delimiter=separator, skipinitialspace=True)
        try:
            found = next((row for row in rows if len(row) > 1 or (row and row[0].strip())), None)
        except csv.Error as error:
            raise UserError(file.where, f"the header cannot be read: {error}") from error
    if found is None:
        raise UserError(file.where, "the file is empty")
    spread = [name for name in found if "\n" in name or "\r" in name]
    if (spread and "".join(read).count('"') % 2) or any(separator in name for name in spread):
        raise UserError(file.where, f"a quote in the header is not closed: '{spread[0].strip()[:40].splitlines()[0]}…'")
    return [one_line(name.removeprefix("\ufeff")) for name in found]


def _check_header(header: list[str], separator: str, file: TextFile) -> None:
    if len(header) == 1:
        likely = detect_separator(file.head)
        if likely != separator and likely in file.head.split("\n", 1)[0]:
            what = f"has one column only ('{header[0][:40]}') with the separator '{separator}'"
            raise UserError(file.where, what, f"is the separator '{likely}'? dataset.separator='{likely}'")
    check_names(header, file.where)


def one_line(name: str) -> str:
    """Return a column's name as it can be written elsewhere: without spaces around it, a line break as a space."""
    return " ".join(part.strip() for part in name.replace("\r", "\n").split("\n") if part.strip())


def check_names(names: list[str], where: str) -> None:
    """Raise UserError for a column without a name, or a name that two columns have."""
    if "" in names:
        raise UserError(where, f"column {names.index('') + 1} has no name", "name it in the header, or leave it out")
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UserError(where, f"two columns are called '{twice}'", "rename one in the header")
