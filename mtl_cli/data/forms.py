"""What long cells of a table are, by the look of them: sequences, texts, labels of their residues or words."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mtl_cli.data.sequences.residues import RESIDUES, STOP

if TYPE_CHECKING:
    import pandas as pd

ROWS = 500
"""Rows that are looked at."""
MOST = 0.95
"""The share of cells that must look alike."""
SHORTEST = 20
"""Residues that half of the sequences have, at least: shorter words of letters may be anything."""
WORDS = 6
"""Words that half of the texts have, at least: shorter ones are names or addresses."""
MOST_LABELS = 60
"""Different labels of residues, or of words."""
FEWEST_WORDS = 30
"""Different words of all texts together: tags are fewer."""
_SEQUENCE = re.compile(f"[{RESIDUES}]+{re.escape(STOP)}?", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class Whole:
    """What a row is as a whole, a sequence or a text.

    Parameters
    ----------
    column : str
        Where it is.
    tokens : list of str
        The columns with a label for each residue, or word.
    kind : {"residue", "token"}
        Of such tasks.
    alone : bool
        Whether the other columns are no features.
    settings : dict
        Keys of the data set that say so.
    """

    column: str
    tokens: list[str]
    kind: Literal["residue", "token"]
    alone: bool
    settings: dict[str, Any] = field(default_factory=dict)


def whole_rows(table: pd.DataFrame, kind: str) -> Whole | None:
    """Return what rows are as a whole; None if they are rows of features.

    Parameters
    ----------
    table : DataFrame
    kind : str
        Of the data set that the table was read as: a FASTA file has sequences, a CoNLL file has words.
    """
    if kind == "fasta":
        return Whole("sequence", residue_columns(table, "sequence"), "residue", True)
    if kind == "text":
        return Whole("text", tag_columns(table, "text"), "token", True)
    if (sequence := sequence_column(table)) is not None:
        return Whole(sequence, residue_columns(table, sequence), "residue", True, {"sequence": sequence})
    if (text := text_column(table)) is not None:
        return Whole(text, tag_columns(table, text), "token", False, {"kind": "text", "text": text})
    return None


def sequence_column(table: pd.DataFrame) -> str | None:
    """Return the first column of proteins, DNA or RNA, if there is one."""
    return next((name for name, texts in _texts(table).items() if _are_sequences(texts)), None)


def text_column(table: pd.DataFrame) -> str | None:
    """Return the column of texts, the one with the longest, if there is one; tags of words are none."""
    found = {name: float(texts.str.len().mean()) for name, texts in _texts(table).items() if _are_texts(texts)}
    return max(found, key=lambda name: found[name]) if found else None


def residue_columns(table: pd.DataFrame, sequence: str) -> list[str]:
    """Return the columns that have a character for each residue of a sequence."""
    own = _some(table[sequence]).str.rstrip(STOP).str.len()
    return [name for name, texts in _texts(table).items() if name != sequence and _labels_each(texts, own, list)]


def tag_columns(table: pd.DataFrame, text: str) -> list[str]:
    """Return the columns that have a tag for each word of a text."""
    own = _some(table[text]).str.split().map(len)
    return [name for name, texts in _texts(table).items() if name != text and _labels_each(texts, own, str.split)]


def _texts(table: pd.DataFrame) -> dict[str, pd.Series]:
    from pandas.api import types

    text = [str(name) for name in table.columns if not types.is_numeric_dtype(table[name].dtype)]
    return {name: some for name in text if len(some := _some(table[name]))}


def _some(values: pd.Series) -> pd.Series:
    return values.head(ROWS).dropna().astype(str)


def _are_sequences(texts: pd.Series) -> bool:
    if texts.str.len().median() < SHORTEST or texts.nunique() < 2:
        return False
    return bool(texts.map(lambda text: _SEQUENCE.fullmatch(text.strip()) is not None).mean() >= MOST)


def _are_texts(texts: pd.Series) -> bool:
    words = texts.str.split()
    if words.map(len).median() < WORDS or texts.nunique() < len(texts) / 2:
        return False
    if words.explode().nunique() < FEWEST_WORDS:
        return False
    return bool(texts.map(lambda text: len(_WORD.findall(text)) * 2 >= len(text.split())).mean() >= MOST)


def _labels_each(texts: pd.Series, lengths: pd.Series, cut: Callable[[str], Collection[str]]) -> bool:
    """Whether each cell is cut into as many labels as there are things to label, of few different ones."""
    pieces = texts.map(cut)
    own = lengths.reindex(texts.index)
    if not (pieces.map(len) == own).all() or own.median() < 2:
        return False
    return 2 <= pieces.explode().nunique() <= MOST_LABELS
