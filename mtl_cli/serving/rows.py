"""The body of a request as rows, and which requests' rows may be read as one table."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Examples, Notice
from mtl_cli.data.tables.compare import without_value
from mtl_cli.inference.trained import TrainedModel
from mtl_cli.io import COMPRESSED
from mtl_cli.serving.limits import HTTPError, refused

WHERE = "rows"
"""What errors call the rows of a request."""
JSON, LINES, CSV = "application/json", "application/x-ndjson", "text/csv"
TYPES = (JSON, LINES, CSV)
"""What a body may be. Browsers send none of these to another site without asking it first."""
ALONE = 3
"""Rows from which on a request is read alone: what is told of many rows is told of their shares."""
EXACT = 2**53
"""Whole numbers below are the same as floats."""
Rows = Sequence[Mapping[str, Any]]
Shape = tuple[tuple[str, frozenset[str]], ...]


def rows_of(body: bytes, form: str, most: int) -> Rows:
    """Return the rows of a body of JSON. Raises HTTPError if it is none, or has more rows than may be."""
    try:
        text = body.decode("utf-8-sig")
        found = [_parse(line) for line in text.splitlines() if line.strip()] if form == LINES else _parse(text)
    except UnicodeDecodeError as error:
        raise refused(400, "body", f"is not UTF-8: {error.reason} at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise refused(400, "body", f"is not JSON: {error.msg}, line {error.lineno} column {error.colno}") from error
    except ValueError as error:  # a number that JSON does not have, or of thousands of digits
        raise refused(400, "body", f"is not JSON: {error}", "null says that there is no value") from error
    except RecursionError as error:
        raise refused(400, "body", "is nested too deep") from error
    if isinstance(found, dict) and isinstance(found.get("rows"), list):
        found = found["rows"]
    if not isinstance(found, list):
        raise refused(400, "body", "is not a list of rows", 'such as [{"area": 80.5}] or {"rows": [{"area": 80.5}]}')
    check_count(len(found), most)
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise refused(422, f"row {number}", "is not an object with the columns' names", 'such as {"area": 80.5}')
        if nested := next((key for key, value in row.items() if isinstance(value, list | dict)), None):
            raise refused(422, f"row {number}", f"'{nested}' holds a list or an object, not a single value")
    return found


def check_count(rows: int, most: int) -> None:
    """Raise HTTPError if a request has more rows than it may."""
    if rows > most:
        raise refused(413, WHERE, f"there are {rows:,}, and a request may have {most:,}", "send fewer at once")


def _parse(text: str) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"there is no number {word}")


def shape_of(rows: Rows) -> Shape | None:
    """Return what two requests must share for their rows to be read as one table, each as if it were alone.

    The types of a column decide how its values are read, and what is told of a table is told of all its rows. None says
    that a request is to be read alone.
    """
    if not rows or len(rows) >= ALONE or any(row.keys() != rows[0].keys() for row in rows):
        return None
    shape = tuple((name, frozenset(_type(row[name]) for row in rows)) for name in rows[0])
    return None if any("other" in types for _, types in shape) else shape


def _type(value: Any) -> str:
    if value is None or (isinstance(value, str) and not value.strip()):
        return "none"
    if isinstance(value, bool | str):
        return type(value).__name__
    if isinstance(value, int):
        return "int" if abs(value) < EXACT else "other"
    if isinstance(value, float):
        return "whole" if value.is_integer() and abs(value) < EXACT else "float"
    return "other"


def notes_of(shape: Shape) -> set[str]:
    """Return what may be told of rows of a shape whichever values they have: of each request, and of all together."""
    return {without_value(WHERE, name) for name, types in shape if types == {"none"}}


def read_rows(model: TrainedModel, rows: Rows, notice: Notice) -> Examples:
    """Read rows of JSON as `mtl predict` reads a file of them. Raises HTTPError for what is wrong with them."""
    try:
        return model.reader.read_rows(rows, WHERE, notice)
    except UserError as error:
        raise HTTPError.of(error) from error


def read_csv(model: TrainedModel, body: bytes, most: int, notice: Notice) -> Examples:
    """Read a table as `mtl predict` reads the file. Raises HTTPError for what is wrong with it."""
    if any(body.startswith(magic) for magic in COMPRESSED):
        raise refused(415, "body", "is compressed", "send it as it is")
    with tempfile.TemporaryDirectory(prefix="mtl-serve-") as folder:
        path = Path(folder) / "rows.csv"
        path.write_bytes(body)
        try:
            examples = model.read(str(path), lambda line: notice(line.replace(str(path), WHERE)))
        except UserError as error:
            named = [
                replace(p, where=p.where.replace(str(path), WHERE), what=p.what.replace(str(path), WHERE))
                for p in error.problems
            ]
            raise HTTPError(422, *named) from error
    check_count(len(examples.inputs), most)
    return replace(examples, where=WHERE)
