"""Reading FASTA: records of a header line, which begins with `>`, and lines of residues."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mtl_cli.config.errors import UserError
from mtl_cli.data.tables.text import MISSING

if TYPE_CHECKING:
    import pandas as pd

_PAIR = re.compile(r"(?:^|\s)([A-Za-z_][\w.]*)=(.*?)(?=\s+[A-Za-z_][\w.]*=|\s*$)")
"""A key and its value, which may hold blanks, as in UniProt's `OS=Homo sapiens OX=9606`."""


def read_fasta(text: str, where: str, id_column: str, sequence_column: str) -> pd.DataFrame:
    """Return a table of a row per record: id, sequence, and what headers say as ``key=value``.

    The id is the header's first word. Keys become columns of text, missing where a header lacks them or gives one of
    ``MISSING``. Blank lines, and comments from ``;`` on, are skipped.

    Raises
    ------
    UserError
        Naming the line or record, if there is no record, one has no id or no residue, or two have the same id.
    """
    import pandas as pd

    ids: list[str] = []
    lines: dict[str, int] = {}
    pairs: list[dict[str, str | None]] = []
    pieces: list[list[str]] = []
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith(";"):
            continue
        if not line.startswith(">"):
            if not ids:
                hint = "a FASTA file begins with a header such as '>P12345 family=kinase'"
                raise UserError(where, f"line {number} is not of any record: '{line[:20]}'", hint)
            pieces[-1].append(line)
            continue
        name, rest = (*line[1:].split(None, 1), "", "")[:2]  # a tab ends the id as a space does
        record = f"record {len(ids) + 1} (line {number})"
        if not name:
            raise UserError(where, f"{record} has no id", "name it behind the '>'")
        if name in lines:
            raise UserError(where, f"{record} has the same id as that of line {lines[name]}, '{name}'")
        lines[name] = number
        ids.append(name)
        pairs.append({key: None if value in ("", *MISSING) else value for key, value in _PAIR.findall(rest)})
        pieces.append([])
    if not ids:
        raise UserError(where, "holds no record", "a FASTA file begins with a header such as '>P12345 family=kinase'")
    empty = next((i for i, piece in enumerate(pieces) if not piece), None)
    if empty is not None:
        raise UserError(where, f"record {empty + 1} ('{ids[empty]}', line {lines[ids[empty]]}) has no residue")
    columns = list(dict.fromkeys(key for found in pairs for key in found))
    for column in (id_column, sequence_column):
        if column in columns:
            hint = f"choose another name, such as dataset.{'id' if column == id_column else 'sequence'}=name"
            raise UserError(where, f"a header gives '{column}', which is the name of a column already", hint)
    table = pd.DataFrame({id_column: ids, sequence_column: ["".join(piece) for piece in pieces]})
    for column in columns:
        table[column] = pd.Series([found.get(column) for found in pairs], dtype="str")
    return table
