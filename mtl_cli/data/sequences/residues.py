"""The letters of proteins, and the numbers that stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

PADDING = "<pad>"
RESIDUES = "ACDEFGHIKLMNPQRSTVWY" + "BJOUXZ"
"""The twenty amino acids, then the ambiguous (B J Z), any (X), and the rare (O pyrrolysine, U selenocysteine)."""
VOCABULARY = [PADDING, *RESIDUES]
_NUMBERS = np.zeros(256, dtype="uint8")
for _letters in (RESIDUES, RESIDUES.lower()):
    _NUMBERS[np.frombuffer(_letters.encode(), dtype="uint8")] = np.arange(1, len(VOCABULARY))


def encode(sequences: pd.Series, ids: pd.Series | None, where: str) -> tuple[np.ndarray, np.ndarray]:
    """Turn sequences into positions in ``VOCABULARY``, one after the other.

    Lower case counts as upper case, and a stop ``*`` at the end is left out.

    Parameters
    ----------
    sequences : Series of str, length n
        Its index numbers the rows from 0.
    ids : Series, optional
        What to call the rows in messages, beside their number.
    where : str
        What to call them all.

    Returns
    -------
    tokens : ndarray of uint8
    lengths : ndarray of int64, shape (n,)

    Raises
    ------
    UserError
        Naming the first row without a residue, or the first letter that is none, and its position from 1.
    """
    texts = [text.strip().removesuffix("*") if isinstance(text, str) else "" for text in sequences]
    lengths = np.array([len(text) for text in texts], dtype="int64")
    if not lengths.all():
        row = int(np.flatnonzero(lengths == 0)[0])
        raise UserError(where, f"{name_row(sequences, ids, row)} has no residue", "leave it out, or fill it in")
    tokens = _NUMBERS[np.frombuffer("".join(texts).encode("latin-1", "replace"), dtype="uint8")]
    if not tokens.all():
        place = int(np.flatnonzero(tokens == 0)[0])
        ends = np.cumsum(lengths)
        row = int(np.searchsorted(ends, place, side="right"))
        position = place - int(ends[row] - lengths[row])
        letter = texts[row][position]
        gap = "take gaps out; " if letter in "-." else ""
        what = f"'{letter}' at position {position + 1} of {name_row(sequences, ids, row)} is not a residue"
        raise UserError(where, what, f"{gap}a residue is one of {RESIDUES}, and * may end a sequence")
    return tokens, lengths


def name_row(rows: pd.Series, ids: pd.Series | None, row: int) -> str:
    """Say which row it is, for messages: its number from 1, and its id."""
    number = f"the sequence of row {int(rows.index[row]) + 1}"
    return number if ids is None else f"{number} ('{ids.iloc[row]}')"


def are_nucleotides(sequences: pd.Series) -> bool:
    """Whether there is nothing but the letters of DNA or RNA, which are those of amino acids too."""
    text = "".join(sequences.iloc[:100])
    return len(text) >= 100 and set(text.upper()) <= set("ACGTUN")
