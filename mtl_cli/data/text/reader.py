"""The columns of a table that hold texts, with features beside them, as what a network reads."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.sequences.reader import check_unique
from mtl_cli.runs.strangers import check_types

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.feature import Feature, Field
    from mtl_cli.data.inputs import InputRows, InputSpec
    from mtl_cli.data.tables.features import FeatureEncoder
    from mtl_cli.data.text.pieces import PieceRows, Pieces
    from mtl_cli.data.text.rows import TextRows

Cut = Literal["spaces", "words"]
"""Where a text is cut into words: at its spaces, or between letters and symbols too."""


@dataclass(frozen=True)
class TextEncoder:
    """Turns the texts of a table into the n-grams of their words.

    Parameters
    ----------
    columns : list of str
        The texts of a row are joined.
    id_column : str, optional
        Its values are unique where it is in a table, and name rows in messages.
    cut : {"spaces", "words"}
    max_length : int, optional
        The most words that a text may have.
    truncate : bool
        Whether a longer one loses its end; otherwise it is an error.
    beside : FeatureEncoder, optional
        Of the columns beside the text.
    tokenizer : str, optional
        Where the network reads pieces of words: what makes them, as JSON.
    """

    columns: list[str]
    id_column: str | None
    cut: Cut
    max_length: int | None
    truncate: bool
    beside: FeatureEncoder | None = None
    tokenizer: str | None = None

    @functools.cached_property
    def pieces(self) -> Pieces | None:
        """What makes pieces of words; None if the network reads n-grams."""
        from mtl_cli.data.text.pieces import Pieces

        return None if self.tokenizer is None else Pieces.of(self.tokenizer)

    @property
    def spec(self) -> InputSpec:
        """What the network reads: the numbers of each word, and features."""
        from mtl_cli.data.inputs import InputSpec
        from mtl_cli.data.text.words import GRAMS

        parts = {} if self.beside is None else {"features": self.beside.spec}
        if (pieces := self.pieces) is not None:
            return InputSpec("pieces", (pieces.size,), parts=parts, before=pieces.before, behind=pieces.behind)
        return InputSpec("text", (GRAMS,), parts=parts)

    @property
    def sources(self) -> list[str]:
        """The columns that are read."""
        return [*self.columns, *([] if self.beside is None else self.beside.sources)]

    def with_features(self, features: FeatureEncoder | None) -> TextEncoder:
        """Return the same with features beside the text."""
        return replace(self, beside=features)

    def settled(self, table: pd.DataFrame, where: str, notice: Callable[[str], None]) -> TextEncoder:
        """Return the same: nothing of how texts are read depends on them."""
        return self

    def fit(self, rows: InputRows, where: str, notice: Callable[[str], None]) -> TextEncoder:
        """Return the same: n-grams and pieces are given beforehand."""
        return self

    def features(self) -> list[Feature]:
        """Return what is read of a row: the text, and the columns beside it."""
        from mtl_cli.data.feature import Feature

        parts = "hashed n-grams" if self.tokenizer is None else "pieces"
        how = f"{parts} of its words, cut {'at spaces' if self.cut == 'spaces' else 'at spaces and symbols'}"
        texts = [Feature(name, "text", how) for name in self.columns]
        return [*texts, *([] if self.beside is None else self.beside.features())]

    def fields(self) -> list[Field]:
        """Return what a person gives of a row: see ``Reader.fields``."""
        from mtl_cli.data.feature import Field

        longest = None if self.truncate else self.max_length
        texts = [Field(name, "text", "", longest=longest) for name in self.columns]
        return [*texts, *([] if self.beside is None else self.beside.fields())]

    def places(self, rows: InputRows) -> list[Feature]:
        """Return the words of the texts, by position, and the columns beside them."""
        from mtl_cli.data.feature import sequence_parts
        from mtl_cli.data.text.rows import TextRows

        if not isinstance(rows, TextRows):
            what = "reads pieces of words, which are not explained position by position"
            raise UserError("model.trunk", what, "explain a run of model=text_cnn")
        first, beside = rows.first_feature, [] if self.beside is None else self.beside.features()
        moved = [replace(feature, inputs=[first + number for number in feature.inputs]) for feature in beside]
        return [*sequence_parts(first), *moved]

    def grid(self, feature: Feature, table: pd.DataFrame, points: int) -> tuple[list[Any], np.ndarray] | None:
        """Return values of a column beside the text, and its inputs at each: see ``Reader.grid``."""
        known = [] if self.beside is None else self.beside.sources
        return self.beside.grid(feature, table, points) if self.beside and feature.name in known else None

    def texts(self, table: pd.DataFrame, where: str) -> list[list[str]]:
        """Return the words of each row. Raises UserError as ``encode`` does."""
        from mtl_cli.data.text.words import split_spaces, split_words

        for name in self.columns:
            if name not in table.columns:
                raise UserError(where, f"the text column '{name}' is missing", did_you_mean(name, table.columns))
        if self.id_column is not None and self.id_column in table.columns:
            check_unique(table[self.id_column], where)
        columns = [table[name].astype(object).fillna("").astype(str) for name in self.columns]
        cut = split_words if self.cut == "words" else split_spaces
        found = [cut(" ".join(cells)) for cells in zip(*columns, strict=True)]
        longest = self.max_length
        if longest is not None and not self.truncate:
            row = next((row for row, words in enumerate(found) if len(words) > longest), None)
            if row is not None:
                name = "" if self.id_column not in table.columns else f" ('{table[self.id_column].iloc[row]}')"
                what = f"the text of row {int(table.index[row]) + 1}{name} has {len(found[row])} words"
                most = max(map(len, found))
                hint = f"dataset.max_length={most} allows it; dataset.truncate=true cuts its end off"
                raise UserError(where, f"{what}, more than the {longest} allowed", hint)
        return found

    def encode(self, table: pd.DataFrame, where: str) -> TextRows | PieceRows:
        """Return the inputs.

        Raises
        ------
        UserError
            If a column is missing, two rows have one id, or a text is too long; or as ``FeatureEncoder.encode``.
        """
        from mtl_cli.data.text.pieces import piece_rows
        from mtl_cli.data.text.rows import text_rows

        words, pieces = self.texts(table, where), self.pieces
        rows = text_rows(words, self.max_length) if pieces is None else piece_rows(pieces, words, self.max_length)
        return self.with_columns(rows, table, where)

    def with_columns(self, rows: InputRows, table: pd.DataFrame, where: str) -> TextRows | PieceRows:
        """Return rows of texts with the features of their table beside them, where it has some."""
        from mtl_cli.data.text.pieces import PieceRows
        from mtl_cli.data.text.rows import TextRows

        assert isinstance(rows, TextRows | PieceRows)
        return rows if self.beside is None else rows.beside(self.beside.encode(table, where))

    def about(self, rows: InputRows) -> str:
        """Return what the training rows' texts are like, in a line."""
        lengths = rows.lengths
        assert lengths is not None
        low, median, high = (int(n) for n in np.quantile(lengths, [0, 0.5, 1], method="nearest"))
        beside = "" if self.beside is None else f"; {len(self.beside.names):,} features beside them"
        return f"texts of {low:,} to {high:,} words, median {median:,}{beside}"

    def compare(self, table: pd.DataFrame, rows: InputRows, where: str, notice: Callable[[str], None]) -> None:
        """Tell what a user should know of a table's texts, ``rows``, which are empty or cut, and of its features."""
        from mtl_cli.data.text.pieces import PieceRows
        from mtl_cli.data.text.rows import TextRows

        assert isinstance(rows, TextRows | PieceRows)
        lengths = rows.full_lengths
        if empty := int((lengths == 0).sum()):
            notice(f"{where}: {empty} of {len(table)} texts are empty")
        if self.max_length is not None and (longer := int((lengths > self.max_length).sum())):
            notice(f"{where}: {longer} of {len(table)} texts are cut to {self.max_length} words")
        if self.beside is not None:
            self.beside.compare(table, where, notice)

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        beside = None if self.beside is None else self.beside.state()
        return asdict(replace(self, beside=None)) | {"beside": beside}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> TextEncoder:
        """Make the encoder that ``state`` was taken from."""
        from mtl_cli.data.tables.features import FeatureEncoder

        beside = None if state["beside"] is None else FeatureEncoder.from_state(state["beside"])
        optional = {name: (kind, type(None)) for name, kind in {"id_column": str, "max_length": int}.items()}
        check_types(state, {"columns": [str], "cut": str, "truncate": bool, "tokenizer": (str, type(None)), **optional})
        return cls(**{**state, "beside": beside})
