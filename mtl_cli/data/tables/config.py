"""What YAML says of tables, a row per example, features and labels in columns: `mtl train dataset=houses.csv`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component, components, file_suffixes, kind_of_file
from mtl_cli.config.schema import Config
from mtl_cli.data.base import DataSource, Notice, Prepared, Reader, encode_parts, fit_tasks
from mtl_cli.data.files import STDIN, read_bytes, resolve
from mtl_cli.data.sequences.reader import SequenceEncoder
from mtl_cli.data.split import Rows, SplitConfig, split_rows
from mtl_cli.data.tables.features import FeatureConfig, FeatureEncoder, feature_names
from mtl_cli.data.tables.text import MISSING, check_names, read_text_table
from mtl_cli.data.weights import weight_columns, weighted
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mtl_cli.data.look import FeatureLook, Look


@dataclass(frozen=True, kw_only=True)
class TableSource(DataSource):
    """The keys that tables of every format share. A format adds ``read``.

    Parameters
    ----------
    path : str
    id : str, optional
        The column that names the rows: carried through to the predictions, no feature.
    weight : str, optional
        The column that says how much a row counts in the training loss, no feature. Metrics count all rows alike.
    sequence : str, optional
        The column of protein sequences, in place of all features.
    max_length : int, optional
        The most residues a sequence may have; 1022 is what ESM-2 was trained on.
    truncate : bool
        Whether a longer sequence loses its end; otherwise it is an error.
    features : FeatureConfig
    split : SplitConfig
    """

    path: str
    id: str | None = None
    weight: str | None = None
    sequence: str | None = None
    max_length: PositiveInt | None = 1022
    truncate: bool = False
    features: FeatureConfig = field(default_factory=FeatureConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    piped: ClassVar[str] = "csv"
    """The kind of data set that standard input is read as."""

    @property
    def input_kind(self) -> Literal["features", "sequence"]:
        return "features" if self.sequence is None else "sequence"

    @property
    def fixed_shape(self) -> bool:
        return self.sequence is None

    @property
    def has_columns(self) -> bool:
        return True

    @property
    def keeps_encoder(self) -> bool:
        return self.sequence is None

    @property
    def file(self) -> str:
        return self.path

    @property
    def validates(self) -> bool:
        return self.split.val > 0

    @property
    def longest(self) -> int | None:
        return None if self.sequence is None else self.max_length

    @property
    def sequence_hint(self) -> str:
        return "dataset.sequence=COLUMN"

    def shorten_hint(self, most: int) -> str:
        return f"dataset.max_length={most}, with dataset.truncate=true if longer ones are to be cut"

    @abstractmethod
    def read(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table; columns in ``text_columns`` stay as they are written."""

    def other(self, path: str) -> TableSource:
        """Return the config of another table whose rows are to be read as these are, of the kind that its name implies.

        What comes through standard input is of the kind ``piped``. Raises UserError if the name is of no table.
        """
        kind = self.piped if path == STDIN else kind_of_file(path)
        made = None if kind is None else components("dataset")[kind]
        if made is None or not issubclass(made, TableSource):
            raise UserError(path, "does not look like a table by its name", f"it must end in one of {file_suffixes()}")
        return self.like(made, path)

    def like(self, kind: type[TableSource], path: str) -> TableSource:
        """Return the config of a file of the same ``kind`` or not, whose rows are to be read as these are."""
        if isinstance(self, kind):
            return replace(self, path=path)
        return kind(path=path) if self.sequence is None else kind(path=path, id=self.id, sequence=self.sequence)

    def check(self, config: Config) -> Iterator[Problem]:
        try:
            if self.path != STDIN:
                resolve(self.path)
        except UserError as error:
            yield from error.problems
        if self.sequence is not None and self.features != FeatureConfig():
            yield Problem("dataset.features", "has no effect: the network reads only the sequence")
        yield from self.split.check(list(config.tasks or {}), has_ids=self.id is not None)

    def prepare(self, tasks: Mapping[str, TaskConfig], notice: Notice, like: Reader | None = None) -> Prepared:
        from mtl_cli.data.duplicates import equal_rows
        from mtl_cli.data.tables import reader as tables
        from mtl_cli.data.tables.left_out import left_out

        as_text = [column for name, task in tasks.items() if task.labels_as_text for column in task.columns(name)]
        as_text += [name for name in (self.id, self.sequence) if name]
        as_text += tables.categories_as_text(like) if like is not None else []
        table = self.read(as_text, notice)
        if len(table.columns) == 1:
            raise UserError(self.path, f"has one column only ('{table.columns[0][:40]}')", "a table needs features too")
        weights = weight_columns(self.weight, tasks)
        keys = {"dataset.id": self.id, "dataset.sequence": self.sequence, **weights}
        tables.check_columns(table, self.path, tasks, keys)
        targets = [column for name, task in tasks.items() for column in task.columns(name)]
        others = [*self.split.named_columns().values(), *([self.id] if self.id else []), *weights.values()]
        names = [self.sequence] if self.sequence else feature_names(self.features, table, targets, others)
        tables.refuse_lists(table, names, self.path)
        skipped = {} if self.sequence else left_out(table, names, tables.kept_names(self.features, names, like))
        names = [name for name in names if name not in skipped]
        sequences = None
        if self.sequence is not None:
            sequences = SequenceEncoder(self.sequence, self.id, self.max_length, self.truncate)
            sequences.encode(table, self.path)  # all of them must be right before anything else is reported
            sequences.compare(table, self.path, notice)
        rows = self._rows(table, equal_rows(table, names), tasks)
        split = split_rows(self.split, table, rows, notice)
        fitted = fit_tasks(tasks, table, split.train, notice)
        encoder = sequences or tables.feature_encoder(self.features, table, names, split.train, self.path, notice, like)
        as_text += encoder.text_columns(table)
        reader = tables.TableReader(self, encoder, self.id, as_text, tables.fingerprint(table))
        parts = encode_parts(split, fitted, lambda rows: reader.encode(table.iloc[rows], self.path))
        parts["train"] = weighted(parts["train"], table, split.train, self.weight, tasks)
        look = None if isinstance(encoder, SequenceEncoder) else self._look(table, encoder, tasks, skipped)
        return Prepared(fitted, reader, parts, split.table(tables.row_ids(table, self.id)), look)

    def look(self, notice: Notice) -> Look | None:
        import numpy as np

        from mtl_cli.data.look import Look
        from mtl_cli.data.tables import reader as tables
        from mtl_cli.data.tables.left_out import left_out

        table = self.read([self.id] if self.id else [], notice)
        others = [*self.split.named_columns().values(), *(name for name in (self.id, self.weight) if name)]
        names = feature_names(self.features, table, [], others)
        tables.refuse_lists(table, names, self.path)
        skipped = left_out(table, names, tables.kept_names(self.features, names, None))
        kept, rows = [name for name in names if name not in skipped], np.arange(len(table))
        encoder = tables.feature_encoder(self.features, table, kept, rows, self.path, notice, None)
        features = self._look(table, encoder, {}, skipped)
        return Look({}, len(table), {}, "features", (features.inputs,), features)

    def _look(
        self, table: pd.DataFrame, encoder: FeatureEncoder, tasks: Mapping[str, TaskConfig], skipped: dict[str, str]
    ) -> FeatureLook:
        """Return the first look at the features."""
        from mtl_cli.data.look import look_at_features
        from mtl_cli.data.tables.earlier import labels_elsewhere

        kinds = {column.name: column.kind for column in encoder.columns}
        levels = sum(len(column.levels) + column.has_other for column in encoder.columns)
        labels = {name: task.strata(name, table) for name, task in tasks.items()}
        elsewhere = {} if self.path == STDIN else labels_elsewhere(self.path)
        return look_at_features(table, kinds, levels, len(encoder.names), skipped, labels, elsewhere)

    def _rows(self, table: pd.DataFrame, duplicate_groups: np.ndarray, tasks: Mapping[str, TaskConfig]) -> Rows:
        """Return what a split may ask about the rows."""
        ids = None if self.id is None else table[self.id]
        again = None if self.path == STDIN else lambda state: self.restore(state).read_own(lambda line: None)
        return Rows(duplicate_groups, lambda name: tasks[name].strata(name, table), ids, again)

    def restore(self, state: dict[str, Any]) -> Reader:
        from mtl_cli.data.tables.reader import TableReader

        return TableReader.from_state(self, state)


@component("dataset", "csv")
@dataclass(frozen=True, kw_only=True)
class CSV(TableSource):
    """A table as delimited text with a header, plain or gzipped.

    Parameters
    ----------
    path : str
        A file, ``-`` for standard input, or ``builtin:NAME``.
    separator : str, optional
        Found from the first lines where null.
    encoding : str, optional
        Where null: UTF-8, UTF-16 by its byte-order mark, else cp1252 with a notice.
    decimal : str
        The decimal mark of numbers.
    missing : list of str
        What marks an empty cell, in labels too; an empty cell always does.
    """

    separator: str | None = None
    encoding: str | None = None
    decimal: str = "."
    missing: list[str] = field(default_factory=lambda: list(MISSING))

    suffixes: ClassVar[tuple[str, ...]] = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")

    def read(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        data = read_bytes(self.path)
        return read_text_table(
            data, self.path, self.separator, self.encoding, self.decimal, text_columns, self.missing, notice
        )


@component("dataset", "parquet")
@dataclass(frozen=True, kw_only=True)
class Parquet(TableSource):
    """A table as a parquet file; columns keep the types they have there.

    Parameters
    ----------
    path : str
        A file, or ``-`` for standard input.
    """

    suffixes: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    def read(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table. The arguments serve text files and are not needed here."""
        import pandas as pd
        import pyarrow

        data = read_bytes(self.path)
        if not data:
            raise UserError(self.path, "the file is empty")
        try:
            table = pd.read_parquet(BytesIO(data))
        except pyarrow.ArrowException as error:
            hint = "is it text? use dataset=csv" if data[:4] != b"PAR1" else None
            raise UserError(self.path, "cannot be read as parquet", hint) from error
        names = [str(name) for name in table.columns]
        check_names(names, self.path)
        if table.empty:
            raise UserError(self.path, "the table has no row")
        table.columns = pd.Index(names)
        return table.reset_index(drop=True)
