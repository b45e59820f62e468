"""Reading tables as the one that a model was trained on was read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.data.base import Examples, Notice, Reader
from mtl_cli.data.dates import DAY_FIRST, MONTH_FIRST
from mtl_cli.data.duplicates import equal_rows
from mtl_cli.data.feature import Feature, Field
from mtl_cli.data.files import STDIN
from mtl_cli.data.inputs import InputRows, InputSpec, feature_problems
from mtl_cli.data.reading import with_keys
from mtl_cli.data.sequences.reader import SequenceEncoder
from mtl_cli.data.tables.columns import numbers, refuse_too_large
from mtl_cli.data.tables.compare import Comparison
from mtl_cli.data.tables.features import FeatureConfig, FeatureEncoder, fit_features
from mtl_cli.data.tables.left_out import asked_for
from mtl_cli.data.tables.reading import ColumnReading, Readings
from mtl_cli.data.text.reader import TextEncoder
from mtl_cli.runs.strangers import check_types
from mtl_cli.tasks.task import TaskConfig

TokenEncoder = SequenceEncoder | TextEncoder
"""What reads rows that differ in length: their tokens, and features beside them where there are any."""
RowEncoder = FeatureEncoder | TokenEncoder
ENCODERS: dict[str, type[Any]] = {"sequence": SequenceEncoder, "text": TextEncoder, "features": FeatureEncoder}
"""By what the model file calls their state."""
CHUNK = 32_768
"""Rows of a table that are read, predicted and written at once."""


class TableFile(Protocol):
    """A table that can be read, and that knows how others like it are read: the config of one."""

    reading_keys: ClassVar[tuple[str, ...]]

    @property
    def keys_of_all_forms(self) -> tuple[str, ...]:
        """The reading keys that a table of some form has."""

    @property
    def path(self) -> str:
        """Where it is."""

    def read(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table; columns in ``text_columns`` stay as they are written."""

    def kept(self, table: pd.DataFrame, where: str, notice: Notice) -> pd.DataFrame:
        """Return the rows of a table that are to be read."""

    def chunks(self, rows: int, text_columns: list[str], notice: Notice) -> Iterator[pd.DataFrame]:
        """Read the table in pieces of at most ``rows`` rows."""

    def other(self, path: str) -> TableFile:
        """Return another file, whose rows are to be read as these are. Raises UserError if it is no table."""


@dataclass(frozen=True)
class TableReader(Reader):
    """Reads and encodes tables.

    Parameters
    ----------
    source : TableFile
        The data set's config.
    encoder : RowEncoder
    id_column : str, optional
    readings : Readings
        How cells become values: the same in every file.
    fingerprint : str
        Of the data set's own table, to tell whether it is still the same.
    given : mapping
        Keys for new files: see ``with_keys``.
    """

    source: TableFile
    encoder: RowEncoder
    id_column: str | None
    readings: Readings
    fingerprint: str
    given: Mapping[str, Any] = field(default_factory=dict)

    @property
    def spec(self) -> InputSpec:
        """What the network reads."""
        return self.encoder.spec

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"": self.fingerprint}

    def features(self) -> list[Feature]:
        return self.encoder.features()

    def places(self, examples: Examples) -> list[Feature]:
        return self.encoder.places(examples.inputs)

    def grid(self, feature: Feature, examples: Examples, points: int) -> tuple[list[Any], np.ndarray] | None:
        return self.encoder.grid(feature, examples.table, points)

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {
            next(name for name, form in ENCODERS.items() if isinstance(self.encoder, form)): self.encoder.state(),
            "id_column": self.id_column,
            "readings": self.readings.state(),
            "fingerprint": self.fingerprint,
        }

    @classmethod
    def from_state(cls, source: TableFile, state: dict[str, Any]) -> TableReader:
        """Make the reader that ``state`` was taken from."""
        check_types(state, {"id_column": (str, type(None)), "fingerprint": str})
        name = next(name for name in ENCODERS if name in state)
        encoder: RowEncoder = ENCODERS[name].from_state(state[name])
        readings = Readings.from_state(state["readings"])
        return cls(source, encoder, state["id_column"], readings, state["fingerprint"])

    def encode(self, table: pd.DataFrame, where: str, tokens: InputRows | None = None) -> Examples:
        """Return a table's rows with their inputs encoded; it may lack the id column.

        ``tokens`` are the rows' sequences or texts, if these were encoded before.
        """
        id_column = self.id_column if self.id_column in table.columns else None
        if tokens is None or isinstance(self.encoder, FeatureEncoder):
            inputs: InputRows = self.encoder.encode(table, where)
        else:
            inputs = self.encoder.with_columns(tokens, table, where)
        return Examples(inputs, table, row_ids(table, id_column), where)

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of tables of any form: which of them a file has, its name says."""
        return self.source.keys_of_all_forms

    def with_keys(self, given: Mapping[str, Any]) -> TableReader:
        return replace(self, given=given)

    def read(self, path: str, notice: Notice) -> Examples:
        """Read a table of the kind that its name implies; what the data set itself is as text from standard input."""
        reader, source, where = self._of(path)
        return reader._examples(source.read(reader.readings.as_written, notice), where, notice)

    def fields(self) -> list[Field]:
        ids = [] if self.id_column is None else [Field(self.id_column, "id")]
        return [*ids, *self.encoder.fields()]

    def read_rows(self, rows: Sequence[Mapping[str, Any]], where: str, notice: Notice) -> Examples:
        from mtl_cli.data.table_files.jsonl import table_of_rows

        numbered = ((f"row {number}", row) for number, row in enumerate(rows, 1))
        table = self.source.kept(table_of_rows(numbered, where, "there is no row"), where, notice)
        return self._examples(table, where, notice)

    def _examples(self, table: pd.DataFrame, where: str, notice: Notice) -> Examples:
        """Return the rows of a table as it was read, and tell in what they differ from the training rows."""
        table = self.readings.apply(table)
        examples = self.encode(table, where)
        if isinstance(self.encoder, FeatureEncoder):
            self.encoder.compare(table, where, notice)
        else:
            self.encoder.compare(table, examples.inputs, where, notice)
        return examples

    def stream(self, path: str, notice: Notice) -> Iterator[Examples]:
        if not isinstance(self.encoder, FeatureEncoder):  # ids are looked at as a whole
            yield self.read(path, notice)
            return
        reader, source, where = self._of(path)
        comparison = Comparison(self.encoder.columns)
        for piece in source.chunks(CHUNK, reader.readings.as_written, notice):
            table = reader.readings.apply(piece)
            yield reader.encode(table, where)
            comparison.add(table, where)
        comparison.tell(where, notice)

    def _of(self, path: str) -> tuple[TableReader, TableFile, str]:
        """Return the reader and the config that a new file is read with, and what to call it."""
        other = self.source.other(path)
        given = dict(self.given)
        if given.get("thousands") == "." and "decimal" in other.reading_keys:
            given.setdefault("decimal", ",")  # what else, where no key says it
        source = with_keys(other, given, other.reading_keys, "a table of this form")
        reader = self
        if "id" in self.given:
            column = vars(source)["id"]
            others = [reading for reading in self.readings.columns if reading.name != column]
            named = [ColumnReading(column, "text", as_written=True)] if column else []
            reader = replace(reader, id_column=column, readings=Readings([*others, *named]))
        form = {key: vars(source)[key] for key in ("decimal", "thousands") if given.get(key) is not None}
        columns = [replace(column, form=replace(column.form, **form)) for column in reader.readings.columns]
        if (day_first := self.given.get("day_first")) is not None:
            order = DAY_FIRST if day_first else MONTH_FIRST
            columns = [replace(column, order=order) if column.kind == "date" else column for column in columns]
        reader = replace(reader, readings=Readings(columns))
        if not isinstance(self.encoder, FeatureEncoder):
            keys = {key: vars(source)[key] for key in ("max_length", "truncate", "stops") if key in self.given}
            reader = replace(reader, encoder=replace(self.encoder, **keys))
        return reader, source, "stdin" if path == STDIN else path

    def read_own(self, notice: Notice) -> Examples:
        """Read the run's own table. Raises UserError if it cannot be read again, or is not as it was."""
        path, hint = self.source.path, "give a table to evaluate on"
        if path == STDIN:
            raise UserError("the run's own table", "was read from standard input and is gone", hint)
        table = self.readings.apply(self.source.read(self.readings.as_written, notice))
        if fingerprint(table) != self.fingerprint:
            raise UserError(path, "has changed since the run was made", hint)
        return replace(self.encode(table, path), duplicate_groups=equal_rows(table, self.encoder.sources))


def check_columns(
    table: pd.DataFrame, where: str, tasks: Mapping[str, TaskConfig], keys: Mapping[str, str | None]
) -> None:
    """Raise UserError for each label column, and each column named by another key, that is not there."""
    problems = []
    for name, task in tasks.items():
        for column in task.columns(name):
            if column not in table.columns:
                hint = did_you_mean(column, table.columns)
                problems.append(Problem(f"tasks.{name}.target", f"{where} has no column '{column}'", hint))
    for key, other in keys.items():
        if other is not None and other not in table.columns:
            hint = did_you_mean(other, table.columns)
            problems.append(Problem(key, f"{where} has no column '{other}'", hint))
    if problems:
        raise UserError.of(problems)


def refuse_lists(table: pd.DataFrame, names: list[str], where: str) -> None:
    """Raise UserError for the first of the columns ``names`` that holds lists."""
    for name in names:
        if table[name].dtype == object and any(isinstance(v, list | dict | set | np.ndarray) for v in table[name]):
            hint = f"dataset.features.exclude=[{name}] leaves it out"
            raise UserError(where, f"the column '{name}' holds lists, not single values", hint)


def feature_encoder(
    config: FeatureConfig,
    table: pd.DataFrame,
    names: list[str],
    train: np.ndarray,
    where: str,
    notice: Notice,
    like: Reader | None,
) -> FeatureEncoder:
    """Return what encodes the columns ``names``: fitted to the rows ``train``, or the encoder of another run."""
    if like is None:
        return fit_features(config, table, names, train, where, notice)
    encoder = encoder_of(like, names)
    for column in encoder.columns:
        if column.kind == "numeric":
            refuse_too_large(numbers(table[column.name], column, where), table[column.name], where)
    encoder.compare(table, where, notice)
    return encoder


def encoder_of(reader: Reader, names: list[str]) -> FeatureEncoder:
    """Return another run's encoder, for a table whose feature columns are ``names``.

    Raises
    ------
    UserError
        With each column that only one of the two has.
    """
    if not isinstance(reader, TableReader) or not isinstance(reader.encoder, FeatureEncoder):
        raise UserError("init_from", "that run read no features of a table, but this data set has some")
    known = [column.name for column in reader.encoder.columns]
    if problems := feature_problems(names, known, "dataset.features.exclude"):
        raise UserError.of(problems)
    return reader.encoder


def kept_names(config: FeatureConfig, names: list[str], like: Reader | None) -> list[str]:
    """Return the columns that stay features whatever they hold: those that were asked for, or another run has."""
    known = like.encoder.sources if isinstance(like, TableReader) and isinstance(like.encoder, FeatureEncoder) else []
    return [*asked_for(config, names), *known]


def readings_of(reader: Reader | None) -> Readings:
    """Return how another run reads its features; none if it is no run on a table's features."""
    if not isinstance(reader, TableReader) or not isinstance(reader.encoder, FeatureEncoder):
        return Readings([])
    sources = reader.encoder.sources
    return Readings([column for column in reader.readings.columns if column.name in sources])


def row_ids(table: pd.DataFrame, column: str | None) -> pd.Series:
    """Return the id column, or under the name ``row`` the rows' numbers in the table that they were read from."""
    return pd.Series(table.index, index=table.index, name="row") if column is None else table[column]


def fingerprint(table: pd.DataFrame) -> str:
    """Return a number that changes with any value or the order of a table."""
    mixed = {
        name: str for name, dtype in table.dtypes.items() if pd.api.types.is_object_dtype(dtype)
    }  # such as lists, which have no hash
    hashes = pd.util.hash_pandas_object(table.astype(mixed), index=False).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()
