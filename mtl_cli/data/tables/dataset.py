"""Data sets that are one table: a row per example, features and labels in columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.schema import Config
from mtl_cli.data.files import STDIN, resolve
from mtl_cli.data.sequences.column import SequenceEncoder
from mtl_cli.data.split import SplitConfig, split_rows
from mtl_cli.data.tables.features import FeatureConfig, feature_names, fit_features

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.prepared import Prepared, Reader, TaskFactory
    from mtl_cli.data.tables.features import FeatureEncoder


@dataclass(frozen=True, kw_only=True)
class TableDataset:
    """The keys that tables of every format share. A format adds ``path`` and ``read``.

    Parameters
    ----------
    id : str, optional
        The column that names the rows: carried through to the predictions, no feature.
    weight : str, optional
        The column that says how much a row counts in the training loss, no feature. Metrics count all rows alike.
    sequence : str, optional
        The column of protein sequences, in the place of all features.
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

    keeps_features: ClassVar[bool] = False
    piped: ClassVar[str] = "csv"
    """The kind of data set that standard input is read as."""

    @property
    def input_kind(self) -> str:
        """What kind of inputs there are."""
        return "features" if self.sequence is None else "sequence"

    @property
    def keeps_encoder(self) -> bool:
        """Whether ``prepare`` takes another run's reader, to encode the table as that does."""
        return self.sequence is None

    def other(self, kind: type[Any], path: str) -> Any:
        """Return the config of another file, of the same ``kind`` or not, whose rows are to be read as these are."""
        if isinstance(self, kind):
            return replace(self, path=path)
        return kind(path=path) if self.sequence is None else kind(path=path, id=self.id, sequence=self.sequence)

    def read(self, text_columns: list[str], notice: Callable[[str], None]) -> pd.DataFrame:
        """Read the table; columns in ``text_columns`` stay as they are written."""
        raise NotImplementedError

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong between this part of the config and the others."""
        try:
            if self.path != STDIN:
                resolve(self.path)
        except UserError as error:
            yield from error.problems
        if self.sequence is not None and self.features != FeatureConfig():
            yield Problem("dataset.features", "is of no use: the sequence is all that the network reads")
        yield from self.split.check(list(config.tasks or {}))

    def prepare(
        self, tasks: dict[str, TaskFactory], notice: Callable[[str], None], like: Reader | None = None
    ) -> Prepared:
        """Read, split and encode.

        Parameters
        ----------
        tasks : dict
            The tasks' configs by name.
        notice : callable
            Takes a line that the user should see.
        like : Reader, optional
            Encode the features as this one does, instead of fitting an encoder to the training rows.

        Raises
        ------
        UserError
            With all tasks' problems at once; otherwise the first that stands in the way.
        """
        import numpy as np
        import pandas as pd

        from mtl_cli.data.prepared import Examples, Prepared, fit_tasks
        from mtl_cli.data.tables.reader import (
            TableReader,
            categories_as_text,
            encoder_of,
            fingerprint,
            row_ids,
            row_weights,
        )

        as_text = [column for name, task in tasks.items() if task.labels_as_text for column in task.columns(name)]
        as_text += [name for name in (self.id, self.sequence) if name]
        as_text += categories_as_text(like) if like is not None else []
        table = self.read(as_text, notice)
        if len(table.columns) == 1:
            raise UserError(self.path, f"has one column only ('{table.columns[0][:40]}')", "a table needs features too")
        check_columns(table, self.path, tasks, {"id": self.id, "weight": self.weight, "sequence": self.sequence})
        targets = [column for name, task in tasks.items() for column in task.columns(name)]
        others = [*self.split.columns(), *(name for name in (self.id, self.weight) if name)]
        names = [self.sequence] if self.sequence else feature_names(self.features, table, targets, others)
        _refuse_lists(table, names, self.path)
        sequences = self._check_sequences(table, notice)
        every = np.arange(len(table))
        split = split_rows(
            self.split, table, names, lambda name: tasks[name].fit(name, table, every).labels(table), notice
        )
        fitted = fit_tasks(tasks, table, split.train, notice)
        encoder: FeatureEncoder | SequenceEncoder
        if sequences is not None:
            encoder = sequences
        elif like is not None:
            encoder = encoder_of(like, names)
            encoder.compare(table, self.path, notice)
        else:
            encoder = fit_features(self.features, table, names, split.train, self.path, notice)
        weights = None if self.weight is None else row_weights(table[self.weight], self.weight)
        as_text += encoder.text_columns(table)
        reader = TableReader(self, encoder, self.id, as_text, fingerprint(table))
        ids = row_ids(table, self.id)
        parts = {}
        for part in ("train", "val", "test"):
            rows = getattr(split, part)
            if len(rows):
                block = table.iloc[rows]
                examples = Examples(reader.encode(block, self.path), block, ids.iloc[rows], self.path)
                counts = weights[rows] if weights is not None and part == "train" else None
                parts[part] = examples.part(fitted, split.repeats.get(part), counts)
        splits = pd.DataFrame({ids.name: ids, "split": split.names(len(table))})
        return Prepared(fitted, reader, parts, splits)

    def restore(self, state: dict[str, Any]) -> Reader:
        """Make the reader that ``state`` was taken from."""
        from mtl_cli.data.tables.reader import TableReader

        return TableReader.from_state(self, state)

    def _check_sequences(self, table: pd.DataFrame, notice: Callable[[str], None]) -> SequenceEncoder | None:
        """Return what encodes the sequences, once all of them are known to be right; None if the table has none."""
        if self.sequence is None:
            return None
        encoder = SequenceEncoder(self.sequence, self.id, self.max_length, self.truncate)
        encoder.encode(table, self.path)
        encoder.compare(table, self.path, notice)
        return encoder


def check_columns(
    table: pd.DataFrame, where: str, tasks: Mapping[str, TaskFactory], keys: Mapping[str, str | None]
) -> None:
    """Raise UserError for each label column, and each column named by a key of the data set, that is not there."""
    problems = []
    for name, task in tasks.items():
        for column in task.columns(name):
            if column not in table.columns:
                hint = did_you_mean(column, table.columns)
                problems.append(Problem(f"tasks.{name}.target", f"{where} has no column '{column}'", hint))
    for key, other in keys.items():
        if other is not None and other not in table.columns:
            hint = did_you_mean(other, table.columns)
            problems.append(Problem(f"dataset.{key}", f"{where} has no column '{other}'", hint))
    if problems:
        raise UserError.of(problems)


def _refuse_lists(table: pd.DataFrame, names: list[str], where: str) -> None:
    for name in names:
        if table[name].dtype == object:
            held = next((v for v in table[name] if isinstance(v, list | dict | set) or hasattr(v, "__array__")), None)
            if held is not None:
                hint = f"dataset.features.exclude=[{name}] leaves it out"
                raise UserError(where, f"the column '{name}' holds lists, not single values", hint)
