"""Reading ARFF, the files of Weka and OpenML. (SciPy's reader has no text attributes and no sparse rows.)"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from mtl_cli.config.errors import UserError
from mtl_cli.data.files import Opener
from mtl_cli.data.tables.columnar import column_of, named
from mtl_cli.data.tables.encoding import look_at

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.base import Notice

_QUOTED = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_ATTRIBUTE = re.compile(rf"@attribute\s+({_QUOTED}|[^\s{{]+)\s*(.*)", re.IGNORECASE)
_FIELD = re.compile(rf"\s*({_QUOTED}|[^,]*?)\s*(,|$)")
_SPARSE = re.compile(rf"\s*(\d+)\s+({_QUOTED}|[^,\s]+)\s*(,|$)")
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}
_NUMBERS = ("numeric", "real", "integer")


@dataclass(frozen=True)
class _Attribute:
    """A column: its name, and its type in lower case, or else the values that it may have."""

    name: str
    kind: str
    levels: list[str]

    @property
    def zero(self) -> Any:
        """What a sparse row does not write."""
        return self.levels[0] if self.levels else 0.0 if self.kind in _NUMBERS else None

    def value(self, text: str) -> Any:
        """Return a cell's value, None for ``?``. Raises ValueError for none of this attribute's."""
        if text in ("?", ""):
            return None
        if self.kind in _NUMBERS:
            number = float(text)
            return int(number) if number.is_integer() and abs(number) < 2**53 and "." not in text else number
        plain = _plain(text)
        if self.levels and plain not in self.levels:
            raise ValueError(plain)
        return plain


def read_arff(open_bytes: Opener, where: str, notice: Notice) -> pd.DataFrame:
    """Read a table. Raises UserError naming the line at fault."""
    import pandas as pd

    file = look_at(open_bytes, where, None, notice)
    with file.open() as stream:
        lines = _lines(stream)
        attributes = _header(lines, where)
        rows = [_row(line, number, attributes, where) for number, line in lines]
    columns = {}
    for place, attribute in enumerate(attributes):
        values = [row[place] for row in rows]
        if attribute.levels:
            columns[place] = pd.Series(pd.Categorical(values, categories=list(dict.fromkeys(attribute.levels))))
        else:
            columns[place] = column_of(values)
    table = pd.DataFrame(columns, copy=False)
    table.columns = pd.Index([attribute.name for attribute in attributes])
    return named(table, where)


def _lines(stream: TextIO) -> Iterator[tuple[int, str]]:
    """Yield the lines that are no comment and not empty, with their numbers."""
    for number, line in enumerate(stream, 1):
        if (text := line.strip()) and not text.startswith("%"):
            yield number, text


def _header(lines: Iterator[tuple[int, str]], where: str) -> list[_Attribute]:
    attributes: list[_Attribute] = []
    for number, line in lines:
        if line.lower().startswith("@relation"):
            continue
        if line.lower().startswith("@data"):
            if not attributes:
                break
            return attributes
        found = _ATTRIBUTE.fullmatch(line)
        if found is None:
            raise UserError(where, f"line {number} is not ARFF: '{line[:40]}'", "is it another text? use dataset=csv")
        name, kind = _plain(found[1]), found[2].strip()
        if kind.startswith("{") != kind.endswith("}") or not kind:
            raise UserError(where, f"line {number}: the attribute '{name}' has no type that can be read: '{kind[:40]}'")
        if kind.startswith("{"):
            attributes.append(_Attribute(name, "nominal", [_plain(field) for field in _fields(kind[1:-1])]))
        elif (word := kind.split()[0].lower()) in (*_NUMBERS, "string", "date"):
            attributes.append(_Attribute(name, word, []))
        else:
            raise UserError(where, f"line {number}: the attribute '{name}' is of the type '{word}', which is not read")
    raise UserError(where, "is not ARFF: it has no @attribute before @data", "is it another text? use dataset=csv")


def _row(line: str, number: int, attributes: list[_Attribute], where: str) -> list[Any]:
    if line.startswith("{") and line.endswith("}"):
        return _sparse_row(line[1:-1], number, attributes, where)
    fields = _fields(line)
    if len(fields) != len(attributes):
        what = f"line {number} has {len(fields)} fields, there are {len(attributes)} attributes"
        raise UserError(where, what)
    return [_value(attribute, text, number, where) for attribute, text in zip(attributes, fields, strict=True)]


def _sparse_row(line: str, number: int, attributes: list[_Attribute], where: str) -> list[Any]:
    row, position = [attribute.zero for attribute in attributes], 0
    while line[position:].strip():
        found = _SPARSE.match(line, position)
        if found is None or int(found[1]) >= len(attributes):
            raise UserError(where, f"line {number} cannot be read as a sparse row")
        place = int(found[1])
        row[place], position = _value(attributes[place], found[2], number, where), found.end()
    return row


def _value(attribute: _Attribute, text: str, number: int, where: str) -> Any:
    try:
        return attribute.value(text)
    except ValueError as error:
        known = "is not a number" if attribute.kind in _NUMBERS else "is not one of the values that it may have"
        raise UserError(where, f"'{text}' in line {number} of attribute '{attribute.name}' {known}") from error


def _fields(line: str) -> list[str]:
    fields: list[str] = []
    position = 0
    while True:
        found = _FIELD.match(line, position)
        if found is None:  # a quote that is not closed
            return [*fields, line[position:]]
        fields.append(found[1])
        position = found.end()
        if not found[2]:
            return fields


def _plain(text: str) -> str:
    """Return a name or value without its quotes."""
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return _ESCAPE.sub(lambda found: _ESCAPED.get(found[1], found[1]), text[1:-1])
    return text
