"""The column of a table that holds protein sequences, as what a network reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.sequences import residues

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.feature import Feature
    from mtl_cli.data.inputs import InputRows, InputSpec
    from mtl_cli.data.sequences.rows import TokenRows
    from mtl_cli.data.tables.features import FeatureEncoder


@dataclass(frozen=True)
class SequenceEncoder:
    """Turns the sequences of a table into token numbers.

    Parameters
    ----------
    column : str
    id_column : str, optional
        Its values are unique where it is in a table, and name rows in messages.
    max_length : int, optional
        The most residues a row may have.
    truncate : bool
        Whether a longer one loses its end; otherwise it is an error.
    """

    column: str
    id_column: str | None
    max_length: int | None
    truncate: bool

    @property
    def spec(self) -> InputSpec:
        """What the network reads: numbers of residues."""
        from mtl_cli.data.inputs import InputSpec

        return InputSpec("sequence", (len(residues.VOCABULARY),), residues.VOCABULARY)

    @property
    def sources(self) -> list[str]:
        """The columns that are read."""
        return [self.column]

    def about(self, rows: InputRows) -> str:
        """Return nothing: the size of the vocabulary says enough."""
        return ""

    def with_features(self, features: FeatureEncoder | None) -> SequenceEncoder:
        """Return the same: no features are read beside sequences."""
        return self

    def features(self) -> list[Feature]:
        """Return what is read of a row: the sequence."""
        from mtl_cli.data.feature import Feature

        most = "" if self.max_length is None else f"; at most {self.max_length} residues"
        more = "a longer one is cut" if self.truncate else "a longer one is refused"
        return [Feature(self.column, "sequence", f"a number per residue{most}, {more}" if most else "a number each")]

    def places(self, rows: InputRows) -> list[Feature]:
        """Return the parts of the sequences, by position."""
        from mtl_cli.data.feature import sequence_parts

        assert rows.lengths is not None
        return sequence_parts(int(rows.lengths.max(initial=0)))

    def grid(self, feature: Feature, table: pd.DataFrame, points: int) -> tuple[list[Any], np.ndarray] | None:
        """Return None: no part of a sequence is set to one value in all."""
        return None

    def encode(self, table: pd.DataFrame, where: str) -> TokenRows:
        """Return the inputs.

        Raises
        ------
        UserError
            If there is no such column, two rows have one id, or a sequence is not as it must be; naming it.
        """
        import torch

        from mtl_cli.data.sequences.rows import TokenRows

        if self.column not in table.columns:
            hint = did_you_mean(self.column, table.columns)
            raise UserError(where, f"the sequence column '{self.column}' is missing", hint)
        sequences, ids = table[self.column], None
        if self.id_column is not None and self.id_column in table.columns:
            ids = table[self.id_column]
            check_unique(ids, where)
        tokens, full = residues.encode(sequences, ids, where)
        stops = sequences.str.strip().str.endswith("*").to_numpy(dtype=bool)
        longest = self.max_length
        if longest is None or not (full > longest).any():
            return TokenRows(torch.from_numpy(tokens), full, stops=stops)
        if not self.truncate:
            row = int(np.flatnonzero(full > longest)[0])
            what = f"{residues.name_row(sequences, ids, row)} has {full[row]} residues, more than the {longest} allowed"
            hint = (
                f"dataset.max_length={full.max()} allows it, if the model does; dataset.truncate=true cuts its end off"
            )
            raise UserError(where, what, hint)
        return TokenRows(torch.from_numpy(tokens), np.minimum(full, longest), full, np.cumsum(full) - full, stops)

    def compare(self, table: pd.DataFrame, where: str, notice: Callable[[str], None]) -> None:
        """Tell what a user should know of a table's sequences: that they are cut, or are no proteins."""
        lengths = table[self.column].str.strip().str.removesuffix("*").str.len()
        if self.max_length is not None and (longer := int((lengths > self.max_length).sum())):
            notice(f"{where}: {longer} of {len(table)} sequences are cut to {self.max_length} residues")
        if residues.are_nucleotides(table[self.column]):
            notice(f"{where}: the sequences look like nucleotides, and are read as proteins")

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SequenceEncoder:
        """Make the encoder that ``state`` was taken from."""
        return cls(**state)


def check_unique(ids: pd.Series, where: str) -> None:
    """Raise UserError, naming both rows, if two have one id."""
    twice = ids.duplicated().to_numpy() & ids.notna().to_numpy()
    if twice.any():
        second = int(np.flatnonzero(twice)[0])
        first = int(np.flatnonzero((ids == ids.iloc[second]).to_numpy())[0])
        rows = f"rows {int(ids.index[first]) + 1} and {int(ids.index[second]) + 1}"
        raise UserError(where, f"{rows} have the same id, '{ids.iloc[second]}'", "each sequence needs its own")
