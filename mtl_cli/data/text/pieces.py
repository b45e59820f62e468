"""Words as the pieces of a pretrained model's tokenizer: its numbers, the marks around a text, and rows of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.data.hub import hub_folder, is_hub_name, local_folder
from mtl_cli.data.inputs import InputRows, Inputs
from mtl_cli.data.sequences.rows import LengthOrder, TokenRows
from mtl_cli.data.text.rows import aligned

if TYPE_CHECKING:
    import pandas as pd
    from tokenizers import Tokenizer

WHERE = "dataset.pieces"
INSTALL = "pip install 'mtl-cli[text]'"
FILES = ["tokenizer*", "vocab*", "merges.txt", "special_tokens_map.json", "*.model", "config.json"]
MOST_PIECES = 32
"""Pieces of a word; more of them are left out."""


def tokenizer_text(name: str) -> str:
    """Return a tokenizer as the JSON text that ``tokenizers`` reads, from a folder or the hub.

    Raises
    ------
    UserError
        If there is none.
    """
    folder = local_folder(name)
    if folder is None and not is_hub_name(name):
        raise UserError(WHERE, f"there is no folder '{name}'")
    folder = folder or hub_folder(name, FILES, "tokenizer*", WHERE, INSTALL)
    file = folder / "tokenizer.json"
    if file.is_file():
        text = file.read_text(encoding="utf-8")
    else:
        try:
            from transformers import AutoTokenizer
        except ImportError as error:
            raise UserError(WHERE, "reading pieces needs the package transformers", INSTALL) from error
        try:
            text = AutoTokenizer.from_pretrained(folder, local_files_only=True).backend_tokenizer.to_str()
        except (OSError, ValueError, KeyError, AttributeError) as error:
            what = f"'{name}' holds no tokenizer: {str(error).strip().splitlines()[0]}"
            raise UserError(WHERE, what, "save it with the model: tokenizer.save_pretrained(FOLDER)") from error
    return _with_space_in_front(text, name)


def _with_space_in_front(text: str, name: str) -> str:
    """Let a tokenizer of bytes see a space in front of each word, as it did where texts were not cut before."""
    try:
        content = json.loads(text)
    except ValueError as error:
        raise UserError(WHERE, f"the tokenizer.json of '{name}' is not JSON") from error
    steps: list[Any] = [content.get("pre_tokenizer")]
    for step in steps:
        if isinstance(step, dict):
            steps.extend(step.get("pretokenizers", []))
            if step.get("type") == "ByteLevel":
                step["add_prefix_space"] = True
    return json.dumps(content)


@dataclass(frozen=True)
class Pieces:
    """A tokenizer: its text, and what it puts around the pieces of a text."""

    tokenizer: Tokenizer
    before: list[int]
    behind: list[int]

    @classmethod
    def of(cls, text: str) -> Pieces:
        """Make it of a tokenizer's JSON text. Raises UserError if it is none."""
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise UserError(WHERE, "reading pieces needs the package transformers", INSTALL) from error
        try:
            tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # what the library raises has no type of its own
            raise UserError(WHERE, f"the tokenizer cannot be read: {error}") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        found = tokenizer.encode(["a"], is_pretokenized=True)
        own = [place for place, mark in enumerate(found.special_tokens_mask) if not mark] or [0]
        return cls(tokenizer, found.ids[: own[0]], found.ids[own[-1] + 1 :] if len(found.ids) > 1 else [])

    @property
    def size(self) -> int:
        """How many different pieces there are."""
        return int(self.tokenizer.get_vocab_size(with_added_tokens=True))

    def of_words(self, words: Sequence[str]) -> list[list[int]]:
        """Return the numbers of each word's pieces; one without any is unknown."""
        encoded = self.tokenizer.encode_batch(
            [[word] for word in words], is_pretokenized=True, add_special_tokens=False
        )
        unknown = next((n for t in ("[UNK]", "<unk>") if (n := self.tokenizer.token_to_id(t)) is not None), 0)
        return [list(found.ids[:MOST_PIECES]) or [unknown] for found in encoded]


class PieceRows(InputRows):
    """Rows of pieces, in which is marked where a word begins.

    Parameters
    ----------
    pieces, begins : TokenRows
        Each piece's number plus 1, and whether it is the first of a word.
    lengths, full_lengths : ndarray of int, shape (n,)
        Words, those that are kept and all.
    columns : InputRows, optional
        Features beside the text.
    """

    def __init__(
        self,
        pieces: TokenRows,
        begins: TokenRows,
        lengths: np.ndarray,
        full_lengths: np.ndarray,
        columns: InputRows | None = None,
    ) -> None:
        self.pieces, self.begins, self.columns = pieces, begins, columns
        self.lengths: np.ndarray = lengths
        self.full_lengths = full_lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def beside(self, columns: InputRows) -> PieceRows:
        """Return the same texts with features beside them."""
        return PieceRows(self.pieces, self.begins, self.lengths, self.full_lengths, columns)

    def select(self, rows: np.ndarray) -> PieceRows:
        columns = None if self.columns is None else self.columns.select(rows)
        pieces, begins = self.pieces.select(rows), self.begins.select(rows)
        return PieceRows(pieces, begins, self.lengths[rows], self.full_lengths[rows], columns)

    def to(self, device: torch.device) -> PieceRows:
        columns = None if self.columns is None else self.columns.to(device)
        return PieceRows(self.pieces.to(device), self.begins.to(device), self.lengths, self.full_lengths, columns)

    def take(self, rows: torch.Tensor | slice) -> Inputs:
        """Return numbers of pieces plus 1, and where words begin, int64 of shape (rows, longest of them, 2)."""
        found = torch.stack([self.pieces.take(rows), self.begins.take(rows)], 2)
        if self.columns is None:
            return found
        columns = self.columns.take(rows)
        assert isinstance(columns, torch.Tensor)
        return found, columns

    def order(self, batch_size: int, smallest: int, seed: int, device: torch.device) -> LengthOrder:
        """Return an order in which rows of similar lengths, in pieces, are together."""
        return self.pieces.order(batch_size, smallest, seed, device)

    def chunks(self) -> list[torch.Tensor]:
        return self.pieces.chunks()

    def finite(self) -> np.ndarray | None:
        return None if self.columns is None else self.columns.finite()

    def align(self, labels: pd.Series, ids: pd.Series, where: str) -> pd.Series:
        return aligned(labels, self.full_lengths, self.lengths, ids, where)


def piece_rows(pieces: Pieces, texts: Sequence[Sequence[str]], longest: int | None = None) -> PieceRows:
    """Return rows of texts that are cut into words, each cut off behind ``longest`` words."""
    full = np.array([len(words) for words in texts], dtype="int64")
    kept = [list(words[:longest]) for words in texts]
    different = list(dict.fromkeys(chain.from_iterable(kept)))
    numbers = dict(zip(different, pieces.of_words(different), strict=True)) if different else {}
    rows = [[numbers[word] for word in words] for words in kept]
    lengths = np.array([sum(map(len, row)) for row in rows], dtype="int64")
    found = np.array([n + 1 for row in rows for word in row for n in word], dtype="int32")
    begins = np.array([i == 0 for row in rows for word in row for i in range(len(word))], dtype="uint8")
    tokens = TokenRows(torch.from_numpy(found), lengths)
    starts = TokenRows(torch.from_numpy(begins), lengths)
    return PieceRows(tokens, starts, np.array([len(row) for row in rows], dtype="int64"), full)
