"""The letters of sequences, and the numbers that stand for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from mtl_cli.config.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

PADDING = "<pad>"
RESIDUES = "ACDEFGHIKLMNPQRSTVWY" + "BJOUXZ"
"""The twenty amino acids, then the ambiguous (B J Z), any (X), and the rare (O pyrrolysine, U selenocysteine)."""
VOCABULARY = [PADDING, *RESIDUES]
AMBIGUOUS = {
    "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC",
    "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT",
}  # fmt: skip
"""The bases that each further letter of DNA may be (IUPAC, doi 10.1093/nar/13.9.3021); of RNA with U in place of T."""
COMPLEMENTS = dict(zip("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN", strict=True))
Alphabet = Literal["auto", "protein", "dna", "rna"]
LETTERS = {
    "protein": RESIDUES,
    "dna": "ACGT" + "".join(AMBIGUOUS),
    "rna": "ACGU" + "".join(AMBIGUOUS),
}
BASES_ALONE = 30
"""Letters of a sequence that are hardly those of a protein if all are A, C, G, T, U or N."""
CERTAIN = 0.9
"""The least share of these in sequences that are taken for DNA or RNA."""
STOP = "*"
Stops = Literal["error", "keep", "cut", "drop"]
"""What to do about a stop before a sequence's end: refuse it, read it as a letter, end the sequence, drop the row."""
STOPS_HINT = "dataset.stops=keep reads it as a letter, cut ends a sequence there, drop leaves such rows out"


class Encoded(NamedTuple):
    """Sequences as numbers, one after the other.

    Parameters
    ----------
    tokens : ndarray of uint8
        Positions in the alphabet, from 1.
    lengths : ndarray of int64, shape (n,)
        How many of them each row has.
    full_lengths : ndarray of int64, shape (n,)
        Letters of each row before it was cut at a stop, without a stop at its end.
    """

    tokens: np.ndarray
    lengths: np.ndarray
    full_lengths: np.ndarray


def encode(
    sequences: pd.Series, ids: pd.Series | None, where: str, letters: str = RESIDUES, stops: Stops = "error"
) -> Encoded:
    """Turn sequences into positions in the vocabulary of some letters, which begins with that of padding.

    Lower case counts as upper case, and a stop ``*`` at the end is left out.

    Parameters
    ----------
    sequences : Series of str, length n
        Its index numbers the rows from 0.
    ids : Series, optional
        What to call the rows in messages, beside their number.
    where : str
        What to call them all.
    letters : str
        With ``*`` if stops are kept.
    stops : {"error", "keep", "cut", "drop"}
        About a stop before the end; rows that are to be dropped are not here any more.

    Raises
    ------
    UserError
        Naming the first row without a residue, or the first letter that is none, and its position from 1.
    """
    texts = [text.strip().removesuffix(STOP) if isinstance(text, str) else "" for text in sequences]
    full = np.array([len(text) for text in texts], dtype="int64")
    if stops == "cut":
        texts = [text.partition(STOP)[0] for text in texts]
    lengths = np.array([len(text) for text in texts], dtype="int64") if stops == "cut" else full
    if not lengths.all():
        row = int(np.flatnonzero(lengths == 0)[0])
        raise UserError(where, f"{name_row(sequences, ids, row)} has no residue", "leave it out, or fill it in")
    tokens = _numbers(letters)[np.frombuffer("".join(texts).encode("latin-1", "replace"), dtype="uint8")]
    if not tokens.all():
        place = int(np.flatnonzero(tokens == 0)[0])
        ends = np.cumsum(lengths)
        row = int(np.searchsorted(ends, place, side="right"))
        position = place - int(ends[row] - lengths[row])
        _refuse(texts, row, position, name_row(sequences, ids, row), where, letters)
    return Encoded(tokens, lengths, full)


def _refuse(texts: list[str], row: int, position: int, name: str, where: str, letters: str) -> None:
    """Raise UserError for the letter at a position of a row."""
    letter, there = texts[row][position], f"at position {position + 1} of {name}"
    if letter == STOP:
        rows = sum(STOP in text for text in texts)
        what = f"{rows:,} of {len(texts):,} sequences hold a stop, '*', before their end; the first is {there}"
        raise UserError(where, what, STOPS_HINT)
    gap = "take gaps out; " if letter in "-." else ""
    kind = alphabet_of(letters)
    if kind == "protein":
        what = f"'{letter}' {there} is not a residue"
        raise UserError(where, what, f"{gap}a residue is one of {letters}, and * may end a sequence")
    other = "rna" if kind == "dna" else "dna"
    hint = f"{gap}a base is one of {letters}"
    if letter.upper() in "TU":
        hint = f"give all of them the one or the other, with dataset.alphabet={other} for {other.upper()}"
    raise UserError(where, f"'{letter}' {there} is not a base of {kind.upper()}", hint)


def alphabet_of(letters: str) -> str:
    """Return the name of the alphabet that letters are."""
    return next(name for name, known in LETTERS.items() if letters.removesuffix(STOP) == known)


def complements(letters: str) -> list[int]:
    """Return by token, padding first, that of the complementary base; [] for proteins, which have none."""
    if alphabet_of(letters) == "protein":
        return []
    pairs = [COMPLEMENTS.get(letter, letter).replace("T", letters[3]) for letter in letters]
    return [0, *(letters.index(letter) + 1 for letter in pairs)]


def base_shares(letters: str) -> list[list[float]] | None:
    """Return by token, padding first, the shares of the four bases that it may be; None of other letters than bases."""
    if alphabet_of(letters) == "protein" or STOP in letters:
        return None
    may = [AMBIGUOUS.get(letter, letter).replace("T", letters[3]) for letter in letters]
    return [[0.0] * 4, *([(base in bases) / len(bases) for base in letters[:4]] for bases in may)]


def find_alphabet(sequences: pd.Series, ids: pd.Series | None, where: str) -> str:
    """Return the alphabet that sequences are of: "protein", "dna" or "rna".

    Bases are letters of amino acids too: a hundred letters in all, of which nine tenths are A, C, G, T, U or N and none
    is of no nucleic acid, are taken for DNA or RNA.

    Raises
    ------
    UserError
        If some are proteins and others nothing but bases, or some have T and others U.
    """
    texts = [text.strip().upper() if isinstance(text, str) else "" for text in sequences]
    found = set("".join(texts))
    usual = sum(map("".join(texts).count, "ACGTUN"))
    total = sum(map(len, texts))
    if total < 100 or not found <= set(COMPLEMENTS) or usual < CERTAIN * total:
        alone = [len(text) >= BASES_ALONE and set(text) <= set("ACGTUN") for text in texts]
        if any(alone) and total:
            first, other = alone.index(True), next((i for i, one in enumerate(alone) if not one), 0)
            what = f"{name_row(sequences, ids, first)} holds bases alone, and that of row {other + 1} residues"
            hint = "give DNA and proteins in files of their own, or dataset.alphabet=protein"
            raise UserError(where, what, hint)
        return "protein"
    with_t, with_u = (next((i for i, text in enumerate(texts) if letter in text), None) for letter in "TU")
    if with_t is not None and with_u is not None:
        what = f"{name_row(sequences, ids, with_u)} holds U, as RNA, and that of row {with_t + 1} T, as DNA"
        raise UserError(where, what, "write all of them with the one or the other")
    return "dna" if with_u is None else "rna"


def _numbers(letters: str) -> np.ndarray:
    """Return by byte the position of a letter in the vocabulary; 0 of none."""
    found = np.zeros(256, dtype="uint8")
    for case in (letters, letters.lower()):
        found[np.frombuffer(case.encode(), dtype="uint8")] = np.arange(1, len(letters) + 1)
    return found


def name_row(rows: pd.Series, ids: pd.Series | None, row: int) -> str:
    """Say which row it is, for messages: its number from 1, and its id."""
    number = f"the sequence of row {int(rows.index[row]) + 1}"
    return number if ids is None else f"{number} ('{ids.iloc[row]}')"


def stops_within(sequences: pd.Series) -> np.ndarray:
    """Return which sequences hold a stop before their end, bool of shape (n,)."""
    texts = sequences.str.strip().str.removesuffix(STOP)
    return texts.str.contains(STOP, regex=False).fillna(False).to_numpy(dtype=bool)


def without_stops(table: pd.DataFrame, column: str) -> tuple[pd.DataFrame, int]:
    """Return a table without the rows whose sequence holds a stop before its end, and how many those were."""
    left = stops_within(table[column])
    return table[~left], int(left.sum())


def are_nucleotides(sequences: pd.Series) -> bool:
    """Whether there is nothing but the letters of DNA or RNA, which are those of amino acids too."""
    text = "".join(sequences.iloc[:100])
    return len(text) >= 100 and set(text.upper()) <= set("ACGTUN")
