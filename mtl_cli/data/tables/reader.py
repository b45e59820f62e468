"""Reading tables as the one that a model was trained on was read."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pandas as pd

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components, file_suffixes, kind_of_file
from mtl_cli.data.files import STDIN
from mtl_cli.data.inputs import InputRows, InputSpec, feature_problems
from mtl_cli.data.prepared import Examples, Notice, Reader
from mtl_cli.data.sequences.column import SequenceEncoder
from mtl_cli.data.strata import repeats_of
from mtl_cli.data.tables.features import FeatureEncoder

if TYPE_CHECKING:
    from mtl_cli.data.tables.dataset import TableDataset


@dataclass(frozen=True)
class TableReader:
    """Reads and encodes tables.

    Parameters
    ----------
    source : TableDataset
        The data set's config.
    encoder : FeatureEncoder or SequenceEncoder
    id_column : str, optional
    text_columns : list of str
        Columns that a text file's reader keeps as they are written: class labels, ids and categories.
    fingerprint : str
        Of the data set's own table, to tell whether it is still the same.
    """

    source: TableDataset
    encoder: FeatureEncoder | SequenceEncoder
    id_column: str | None
    text_columns: list[str]
    fingerprint: str

    hierarchy: ClassVar[None] = None

    @property
    def spec(self) -> InputSpec:
        """What the network reads."""
        return self.encoder.spec

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {
            "sequence" if isinstance(self.encoder, SequenceEncoder) else "features": self.encoder.state(),
            "id_column": self.id_column,
            "text_columns": self.text_columns,
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_state(cls, source: TableDataset, state: dict[str, Any]) -> TableReader:
        """Make the reader that ``state`` was taken from."""
        encoder: FeatureEncoder | SequenceEncoder
        if "sequence" in state:
            encoder = SequenceEncoder.from_state(state["sequence"])
        else:
            encoder = FeatureEncoder.from_state(state["features"])
        return cls(source, encoder, state["id_column"], state["text_columns"], state["fingerprint"])

    def encode(self, table: pd.DataFrame, where: str) -> InputRows:
        """Return the inputs."""
        return self.encoder.encode(table, where)

    def read(self, path: str, notice: Notice) -> Examples:
        """Read a table of the kind that its name tells; what the data set itself is as text from standard input."""
        kind = self.source.piped if path == STDIN else kind_of_file(path)
        if kind is None or not hasattr(components("dataset")[kind], "read"):
            raise UserError(path, "is no table by its name", f"it must end in one of {file_suffixes()}")
        made: Any = components("dataset")[kind]
        source: Any = self.source.other(made, path)
        where = "stdin" if path == STDIN else path
        table: pd.DataFrame = source.read(self.text_columns, notice)
        examples = self._examples(table, where)
        self.encoder.compare(table, where, notice)
        return examples

    def read_own(self, notice: Notice) -> Examples:
        """Read the run's own table. Raises UserError if it cannot be read again, or is not as it was."""
        path, hint = self.source.path, "give a table to evaluate on"
        if path == STDIN:
            raise UserError("the run's own table", "was read from standard input and is gone", hint)
        table = self.source.read(self.text_columns, notice)
        if fingerprint(table) != self.fingerprint:
            raise UserError(path, "is not as it was when the run was made", hint)
        kin = repeats_of(table, self.encoder.sources)
        return replace(self._examples(table, path), kin=kin)

    def _examples(self, table: pd.DataFrame, where: str) -> Examples:
        id_column = self.id_column if self.id_column in table.columns else None
        return Examples(self.encode(table, where), table, row_ids(table, id_column), where)


def encoder_of(reader: Reader, names: list[str]) -> FeatureEncoder:
    """Return another run's encoder, for a table whose feature columns are ``names``.

    Raises
    ------
    UserError
        With each column that only one of the two has.
    """
    if not isinstance(reader, TableReader) or not isinstance(reader.encoder, FeatureEncoder):
        raise UserError("init_from", "that run read no features of a table, and this data set gives some")
    known = [column.name for column in reader.encoder.columns]
    if problems := feature_problems(names, known, "dataset.features.exclude"):
        raise UserError.of(problems)
    return reader.encoder


def categories_as_text(reader: Reader) -> list[str]:
    """Return the categorical feature columns that another run read as they are written."""
    if not isinstance(reader, TableReader) or not isinstance(reader.encoder, FeatureEncoder):
        return []
    return [c.name for c in reader.encoder.columns if c.kind == "categorical" and c.name in reader.text_columns]


def row_ids(table: pd.DataFrame, column: str | None) -> pd.Series:
    """Return the id column, or row numbers from 0 under the name ``row``."""
    return pd.Series(range(len(table)), index=table.index, name="row") if column is None else table[column]


def row_weights(column: pd.Series, name: str) -> np.ndarray:
    """Return how much each row counts, float32 with mean 1. Raises UserError for what is no number ≥ 0."""
    values = pd.to_numeric(column.astype("object"), errors="coerce").astype("float64").to_numpy()
    wrong = ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        what = f"'{column.iloc[row]}' in row {row + 1} of column '{name}' is no weight"
        raise UserError("dataset.weight", what, "a weight is a number, 0 or more")
    if not values.any():
        raise UserError("dataset.weight", f"all weights in column '{name}' are 0")
    return np.asarray(values / values.mean(), dtype="float32")


def fingerprint(table: pd.DataFrame) -> str:
    """Return a number that changes with any value or the order of a table."""
    mixed = {
        name: str for name, dtype in table.dtypes.items() if pd.api.types.is_object_dtype(dtype)
    }  # such as lists, which have no hash
    hashes = pd.util.hash_pandas_object(table.astype(mixed), index=False).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()
