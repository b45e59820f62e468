"""The column of a table that holds protein sequences, as what a network reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.sequences import residues
from mtl_cli.data.sequences.residues import RESIDUES, STOP, Alphabet, Stops
from mtl_cli.runs.strangers import made_of

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.feature import Feature, Field
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
    stops : {"error", "keep", "cut", "drop"}
        What to do about a stop before a sequence's end.
    family : str
        ``auto``, ``none``, or the sequence that the others are compared with.
    alphabet : {"auto", "protein", "dna", "rna"}
        ``auto``: what a table's sequences look like.
    letters : str
        Those that are read, once ``settled``.
    reference : list of int
        The tokens of the sequence that the others differ from in little, once ``fit`` found one; else empty.
    """

    column: str
    id_column: str | None
    max_length: int | None
    truncate: bool
    stops: Stops = "error"
    family: str = "auto"
    alphabet: Alphabet = "auto"
    letters: str = RESIDUES
    reference: list[int] = field(default_factory=list)

    @property
    def spec(self) -> InputSpec:
        """What the network reads: numbers of residues."""
        from mtl_cli.data.inputs import InputSpec

        names = [residues.PADDING, *self.letters]
        complement = residues.complements(self.letters)
        return InputSpec("sequence", (len(names),), names, reference=self.reference, complement=complement)

    @property
    def unit(self) -> str:
        """What a letter is called."""
        return "residue" if residues.alphabet_of(self.letters) == "protein" else "base"

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

    def settled(self, table: pd.DataFrame, where: str, notice: Callable[[str], None]) -> SequenceEncoder:
        """Return the same with the letters that are read of a table. Raises UserError if they are of two alphabets."""
        found: str = self.alphabet
        if found == "auto":
            ids = table[self.id_column] if self.id_column in table.columns else None
            found = residues.find_alphabet(table[self.column], ids, where)
            if found != "protein":
                notice(f"{where}: the sequences are read as {found.upper()}; dataset.alphabet=protein: as proteins")
        letters = residues.LETTERS[found]
        return replace(self, letters=letters + STOP if self.stops == "keep" else letters)

    def fit(self, rows: InputRows, where: str, notice: Callable[[str], None]) -> SequenceEncoder:
        """Return the same with the reference of training rows, if they are a family."""
        import pandas as pd

        from mtl_cli.data.sequences.differences import ALIKE, FEWEST, MOST, find_reference
        from mtl_cli.data.sequences.rows import TokenRows

        assert isinstance(rows, TokenRows)
        if self.family == "none":
            return self
        if self.family != "auto":
            given = pd.Series([self.family])
            tokens = residues.encode(given, None, "dataset.reference", self.letters).tokens
            return replace(self, reference=tokens.tolist())
        if len(rows) < FEWEST:
            return self
        every = -(-len(rows) * int(rows.lengths.max()) // MOST)
        reference, mean = find_reference(rows.take(slice(None, None, every)))
        if mean > ALIKE * len(reference):
            return self
        notice(
            f"{where}: the sequences are a family: on average a training row differs in {mean:.3g} places from the most"
            f" frequent {self.unit}s, {len(reference)}; model=sequence_cnn reads these differences, or with"
            " dataset.reference=none whole sequences"
        )
        return replace(self, reference=reference.tolist())

    def features(self) -> list[Feature]:
        """Return what is read of a row: the sequence."""
        from mtl_cli.data.feature import Feature

        most = "" if self.max_length is None else f"; at most {self.max_length} {self.unit}s"
        more = "a longer one is cut" if self.truncate else "a longer one is refused"
        return [
            Feature(self.column, "sequence", f"a number per {self.unit}{most}, {more}" if most else "a number each")
        ]

    def fields(self) -> list[Field]:
        """Return what a person gives of a row: see ``Reader.fields``."""
        from mtl_cli.data.feature import Field

        letters = [residues.PADDING, *self.letters]
        usual = "".join(letters[token] for token in self.reference) or self.letters[:8]
        return [Field(self.column, "sequence", usual, empty=False, longest=None if self.truncate else self.max_length)]

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
        if self.stops == "keep" and STOP not in self.letters:
            raise UserError("dataset.stops", "cannot be keep: the model was trained without stops", "cut, or drop")
        tokens, held, full = residues.encode(sequences, ids, where, self.letters, self.stops)
        stops = sequences.str.strip().str.endswith(STOP).to_numpy(dtype=bool)
        longest = self.max_length
        if longest is None or not (held > longest).any():
            return TokenRows(torch.from_numpy(tokens), held, full, stops=stops)
        if not self.truncate:
            row = int(np.flatnonzero(held > longest)[0])
            what = f"{residues.name_row(sequences, ids, row)} has {held[row]} {self.unit}s"
            hint = (
                f"dataset.max_length={held.max()} allows it, if the model does; dataset.truncate=true cuts its end off"
            )
            raise UserError(where, f"{what}, more than the {longest} allowed", hint)
        return TokenRows(torch.from_numpy(tokens), np.minimum(held, longest), full, np.cumsum(held) - held, stops)

    def with_columns(self, rows: InputRows, table: pd.DataFrame, where: str) -> InputRows:
        """Return the rows: no features are read beside sequences."""
        return rows

    def compare(self, table: pd.DataFrame, rows: InputRows, where: str, notice: Callable[[str], None]) -> None:
        """Tell what a user should know of a table's sequences, ``rows``: that they are cut, or are no proteins."""
        lengths = table[self.column].str.strip().str.removesuffix("*").str.len()
        if self.max_length is not None and (longer := int((lengths > self.max_length).sum())):
            notice(f"{where}: {longer} of {len(table)} sequences are cut to {self.max_length} {self.unit}s")
        if self.stops in ("keep", "cut") and (stopped := int(residues.stops_within(table[self.column]).sum())):
            done = "read as a letter" if self.stops == "keep" else "where they end"
            notice(f"{where}: {stopped:,} of {len(table):,} sequences hold a stop before their end, {done}")
        if far := self._far(rows):
            what = f"{far:,} of {len(table):,} sequences differ from the reference in more than half of its places"
            notice(f"{where}: {what}: they are of no family of the training rows")
        if self.unit == "residue" and residues.are_nucleotides(table[self.column]):
            notice(f"{where}: the sequences look like nucleotides, and are read as proteins")

    def _far(self, rows: InputRows) -> int:
        """Return how many sequences differ from the reference in most places."""
        import torch

        from mtl_cli.data.sequences.differences import ALIKE, differences
        from mtl_cli.data.sequences.rows import TokenRows

        assert isinstance(rows, TokenRows)
        if not self.reference:
            return 0
        reference = torch.tensor(self.reference)
        found = 0
        for chunk in rows.chunks():
            counts = differences(rows.take(chunk), reference).row.bincount()
            found += int((counts > ALIKE * len(reference)).sum())
        return found

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> SequenceEncoder:
        """Make the encoder that ``state`` was taken from."""
        return made_of(cls, state)


def check_unique(ids: pd.Series, where: str) -> None:
    """Raise UserError, naming both rows, if two have one id."""
    twice = ids.duplicated().to_numpy() & ids.notna().to_numpy()
    if twice.any():
        second = int(np.flatnonzero(twice)[0])
        first = int(np.flatnonzero((ids == ids.iloc[second]).to_numpy())[0])
        rows = f"rows {int(ids.index[first]) + 1} and {int(ids.index[second]) + 1}"
        raise UserError(where, f"{rows} have the same id, '{ids.iloc[second]}'", "each sequence needs its own")
