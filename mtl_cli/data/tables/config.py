"""What YAML says of tables, a row per example, features and labels in columns: `mtl train dataset=houses.csv`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component, components, file_suffixes, kind_of_file, unread_file
from mtl_cli.config.schema import Config
from mtl_cli.data.base import DataSource, Notice, Prepared, Reader, encode_parts, fit_tasks, id_problems
from mtl_cli.data.files import STDIN, Opener, matching_files, opener, resolve
from mtl_cli.data.sequences.reader import SequenceEncoder
from mtl_cli.data.sequences.residues import Alphabet, Stops, without_stops
from mtl_cli.data.split import Rows, SplitConfig, split_rows
from mtl_cli.data.tables.deciding import Use, Words, label_uses, named_labels
from mtl_cli.data.tables.encoding import first_lines
from mtl_cli.data.tables.features import FeatureConfig, FeatureEncoder, declared_kind, feature_names
from mtl_cli.data.tables.text import (
    MISSING,
    ReadingKeys,
    detect_separator,
    one_character,
    read_text_table,
    text_table_chunks,
)
from mtl_cli.data.weights import weight_columns, weighted
from mtl_cli.tasks.labels import USUAL_NO_LABEL
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mtl_cli.data.folding import Folding
    from mtl_cli.data.look import FeatureLook, Look
    from mtl_cli.data.tables.reader import TokenEncoder
    from mtl_cli.data.tables.reading import Readings


@dataclass(frozen=True, kw_only=True)
class TableSource(DataSource):
    """The keys that tables of every format share. A format adds ``read_file``.

    Parameters
    ----------
    path : str
    id : str, optional
        The column that names the rows: carried through to the predictions, no feature.
    weight : str, optional
        The column that says how much a row counts in the training loss, no feature. Metrics count all rows alike.
    sequence : str, optional
        The column of protein, DNA or RNA sequences, in place of all features.
    max_length : int, optional
        The most residues a sequence may have; 1022 is what ESM-2 was trained on.
    truncate : bool
        Whether a longer sequence loses its end; otherwise it is an error.
    alphabet : {"auto", "protein", "dna", "rna"}
        What the letters of sequences are; ``auto``: what they look like.
    reference : str
        The sequence that those of a family are compared with; ``auto``: what most training rows have at each position,
        where they are a family; ``none``.
    stops : {"error", "keep", "cut", "drop"}
        What to do about a stop ``*`` before a sequence's end.
    missing : list of str
        What an empty cell may be written as, beside nothing at all; not in ids and groups, which are as written.
    no_label : list of str
        What a missing label may be written as, beside these; a label that a task names is one.
    thousands : str, optional
        The mark between groups of three digits; found in each column where None.
    day_first : bool, optional
        Whether 05/01/2022 is in January, where a column leaves that open.
    features : FeatureConfig
    split : SplitConfig
    """

    path: str
    id: str | None = None
    weight: str | None = None
    sequence: str | None = None
    max_length: PositiveInt | None = 1022
    truncate: bool = False
    alphabet: Alphabet = "auto"
    reference: str = "auto"
    stops: Stops = "error"
    missing: list[str] = field(default_factory=list)
    no_label: list[str] = field(default_factory=lambda: list(USUAL_NO_LABEL))
    thousands: str | None = None
    day_first: bool | None = None
    features: FeatureConfig = field(default_factory=FeatureConfig)
    split: SplitConfig = field(default_factory=SplitConfig)

    reading_keys: ClassVar[tuple[str, ...]] = ("id", "max_length", "truncate", "stops", "thousands", "day_first")
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
    def makes_folds(self) -> bool:
        return True

    @property
    def validates(self) -> bool:
        return self.split.val > 0

    @property
    def token_columns(self) -> list[str]:
        """The columns that are read as tokens; none if a row is its features alone."""
        return [] if self.sequence is None else [self.sequence]

    def token_encoder(self, tasks: Mapping[str, TaskConfig]) -> TokenEncoder | None:
        """Return what encodes these columns, for the labels of some tasks."""
        if self.sequence is None:
            return None
        return SequenceEncoder(
            self.sequence, self.id, self.max_length, self.truncate, self.stops, self.reference, self.alphabet
        )

    def feature_columns(self, table: pd.DataFrame, targets: list[str], others: list[str]) -> list[str]:
        """Return the columns that are features; ``others`` are read for something else, and are none unless by name."""
        return [] if self.token_columns else feature_names(self.features, table, targets, others)

    def split_of(self, table: pd.DataFrame, targets: Sequence[str], notice: Notice) -> SplitConfig:
        """Return how the rows of a table with some columns of labels are split."""
        return self.split

    @property
    def decimal_mark(self) -> str | None:
        """The decimal mark of numbers that are written as text, None where it is to be found."""
        return None

    @property
    def longest(self) -> int | None:
        return None if self.sequence is None else self.max_length

    @property
    def alphabet_known(self) -> str | None:
        return None if self.sequence is None or self.alphabet == "auto" else self.alphabet

    def input_hint(self, kind: str) -> str | None:
        text = f"dataset=text dataset.path={self.path} dataset.text=COLUMN"
        return {"sequence": "dataset.sequence=COLUMN", "text": text, "pieces": text}.get(kind)

    def shorten_hint(self, most: int) -> str:
        return f"dataset.max_length={most}, with dataset.truncate=true if longer ones are to be cut"

    @abstractmethod
    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the one file at ``path``; columns in ``text_columns`` stay as they are written."""

    def read(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table, of one file or of all that a pattern fits; ``text_columns`` stay as they are written."""
        from mtl_cli.data.tables.several import read_several

        if (paths := matching_files(self.path)) == [self.path]:
            table = self.read_file(text_columns, notice)
        else:
            table = read_several([replace(self, path=path) for path in paths], self.path, text_columns, notice)
        return self.kept(table, self.path, notice)

    def kept(self, table: pd.DataFrame, where: str, notice: Notice) -> pd.DataFrame:
        """Return the rows of a table that are to be read: with ``stops: drop`` not those that hold a stop."""
        if self.stops != "drop" or self.sequence is None or self.sequence not in table.columns:
            return table
        kept, stopped = without_stops(table, self.sequence)
        if stopped:
            what = f"{stopped:,} of {len(table):,} sequences hold a stop before their end"
            if kept.empty:
                raise UserError(where, what, "dataset.stops=keep or cut reads them")
            notice(f"{where}: {what} and are left out")
        return kept

    def chunks(self, rows: int, text_columns: list[str], notice: Notice) -> Iterator[pd.DataFrame]:
        """Yield what ``read`` returns in tables of at most ``rows`` rows, which keep its index.

        A format that can be read in pieces does so, in memory that does not grow with the file.
        """
        table = self.read(text_columns, notice)
        for start in range(0, len(table), rows):
            yield table.iloc[start : start + rows]

    @property
    def keys_of_all_forms(self) -> tuple[str, ...]:
        """The reading keys that a table of some form has."""
        forms = [cls for cls in components("dataset").values() if issubclass(cls, TableSource)]
        return tuple(dict.fromkeys(key for cls in forms for key in cls.reading_keys))

    def other(self, path: str) -> TableSource:
        """Return the config of another table whose rows are to be read as these are, of the kind that its name implies.

        What comes through standard input is of the kind ``piped``. Raises UserError if the name is of no table.
        """
        kind = self.piped if path == STDIN else kind_of_file(path)
        made = None if kind is None else components("dataset")[kind]
        if made is None or not issubclass(made, TableSource):
            fault = None if kind is not None else unread_file(path)
            what = "does not look like a table by its name", f"it must end in one of {file_suffixes()}"
            raise UserError(path, *(fault or what))
        return self.like(made, path)

    def like(self, kind: type[TableSource], path: str) -> TableSource:
        """Return the config of a file of the same ``kind`` or not, whose rows are to be read as these are."""
        if isinstance(self, kind):
            return replace(self, path=path)
        return (
            kind(path=path)
            if self.sequence is None
            else kind(path=path, id=self.id, sequence=self.sequence, stops=self.stops)
        )

    def check_file(self) -> Iterator[Problem]:
        """Yield what is wrong with the file itself, as far as is seen without opening it."""
        try:
            for path in matching_files(self.path):
                if path != STDIN:
                    resolve(path)
        except UserError as error:
            yield from error.problems

    def check(self, config: Config) -> Iterator[Problem]:
        yield from self.check_file()
        if self.sequence is not None and self.features != FeatureConfig():
            yield Problem("dataset.features", "has no effect: the network reads only the sequence")
        yield from self.split.check(list(config.tasks or {}), has_ids=self.id is not None)
        if self.thousands is not None and self.thousands == self.decimal_mark:
            yield Problem("dataset.thousands", f"is '{self.thousands}', as dataset.decimal is", "leave one of them out")
        yield from id_problems(self.id, list(config.tasks or {}))

    def prepare(
        self,
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
        folding: Folding | None = None,
    ) -> Prepared:
        from mtl_cli.data.duplicates import equal_rows
        from mtl_cli.data.held_out import hold_out
        from mtl_cli.data.tables import reader as tables

        table = self.read([*self._as_written(tasks), *tables.readings_of(like).as_written], notice)
        if len(table.columns) == 1:
            raise UserError(self.path, f"has one column only ('{table.columns[0][:40]}')", "a table needs features too")
        weights = weight_columns(self.weight, tasks)
        keys = {"dataset.id": self.id, "dataset.sequence": self.sequence, **weights}
        tables.check_columns(table, self.path, tasks, keys)
        targets = [column for name, task in tasks.items() for column in task.columns(name)]
        how = self.split_of(table, targets, notice)
        others = [*how.named_columns().values(), *([self.id] if self.id else []), *weights.values()]
        names = self.feature_columns(table, targets, others)
        table, readings, names, skipped = self._understood(table, names, self.token_columns, tasks, notice, like)
        tokens, read = self.token_encoder(tasks), None
        if tokens is not None:
            tokens = tokens.settled(table, self.path, notice)
            read = tokens.encode(table, self.path)  # all of them must be right before anything else is reported
            tokens.compare(table, read, self.path, notice)
        rows = self._rows(table, equal_rows(table, [*self.token_columns, *names]), tasks)
        split = split_rows(how, table, rows, notice)
        split, held_out = hold_out(folding, how, split, table, rows, tasks, table, notice)
        fitted = fit_tasks(tasks, table, split.train, notice)
        if tokens is not None and read is not None:
            tokens = tokens.fit(read.select(split.train), self.path, notice)
        features = None
        if names or tokens is None:
            features = tables.feature_encoder(self.features, table, names, split.train, self.path, notice, like)
        encoder = features if tokens is None else tokens.with_features(features)
        assert encoder is not None
        reader = tables.TableReader(self, encoder, self.id, readings, tables.fingerprint(table))
        parts = encode_parts(
            split,
            fitted,
            lambda rows: reader.encode(table.iloc[rows], self.path, None if read is None else read.select(rows)),
        )
        parts["train"] = weighted(parts["train"], table, split.train, self.weight, tasks)
        look = self._look(table, features, tasks, skipped) if tokens is None and features is not None else None
        about = "" if tokens is None else tokens.with_features(features).about(parts["train"].inputs)
        return Prepared(fitted, reader, parts, split.table(tables.row_ids(table, self.id)), held_out, look, about)

    def label_table(self, notice: Notice) -> pd.DataFrame:
        return self.read(self._as_written({}), notice)

    def look(self, notice: Notice) -> Look | None:
        import numpy as np

        from mtl_cli.data.look import Look
        from mtl_cli.data.tables import reader as tables

        table = self.read(self._as_written({}), notice)
        others = [*self.split.named_columns().values(), *(name for name in (self.id, self.weight) if name)]
        names = feature_names(self.features, table, [], others)
        table, _, names, skipped = self._understood(table, names, [], {}, notice)
        encoder = tables.feature_encoder(self.features, table, names, np.arange(len(table)), self.path, notice, None)
        features = self._look(table, encoder, {}, skipped)
        return Look({}, len(table), {}, "features", (features.inputs,), features)

    def _understood(
        self,
        table: pd.DataFrame,
        names: list[str],
        tokens: list[str],
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
    ) -> tuple[pd.DataFrame, Readings, list[str], dict[str, str]]:
        """Decide how the cells of a table are read, and which of its columns are features.

        Parameters
        ----------
        table : DataFrame
            As the file holds it.
        names : list of str
            The columns that may be features.
        tokens : list of str
            The columns of sequences or texts.
        tasks, notice, like
            As ``prepare`` takes them.

        Returns
        -------
        table : DataFrame
            Its cells as they are read.
        readings : Readings
        names : list of str
            The features.
        skipped : dict of str to str
            The columns that were left out, and why.
        """
        from mtl_cli.data.tables import reader as tables
        from mtl_cli.data.tables.deciding import decide
        from mtl_cli.data.tables.left_out import left_out

        tables.refuse_lists(table, [*tokens, *names], self.path)
        known = tables.readings_of(like)
        readings = decide(table, self._uses(tasks, names), self._words(tasks), self.path, notice, known)
        table = readings.apply(table)
        skipped = left_out(table, names, tables.kept_names(self.features, names, like), all_may_go=bool(tokens))
        return table, readings, [name for name in names if name not in skipped], skipped

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

    def _as_written(self, tasks: Mapping[str, TaskConfig]) -> list[str]:
        """Return the columns that are text whatever they look like."""
        uses = [use for name, task in tasks.items() for use in task.label_uses(name).items()]
        labels = [column for column, use in uses if use != "number"]
        named = [*(name for name in (self.id, self.split.group) if name), *self.token_columns]
        return [*labels, *named, *self.features.categorical]

    def _uses(self, tasks: Mapping[str, TaskConfig], features: list[str]) -> dict[str, Use]:
        """Return what each column is read for."""
        uses: dict[str, Use] = {} if self.split.time is None else {self.split.time: "feature"}
        uses |= {name: self._feature_use(name) for name in features}
        uses |= label_uses(tasks)
        return uses | {name: "text" for name in (self.id, self.split.group, *self.token_columns) if name}

    def _feature_use(self, name: str) -> Use:
        return cast(Use, declared_kind(self.features, name) or "feature")

    def _words(self, tasks: Mapping[str, TaskConfig]) -> Words:
        labels = named_labels(tasks)
        return Words(self.missing, self.no_label, self.decimal_mark, self.thousands, self.day_first, labels)

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
    decimal : str, optional
        The decimal mark of numbers; found in each column where null.
    missing : list of str
        What an empty cell may be written as, beside nothing at all; not in ids and groups, which are as written.
    """

    separator: str | None = None
    encoding: str | None = None
    decimal: str | None = None
    missing: list[str] = field(default_factory=lambda: list(MISSING))

    suffixes: ClassVar[tuple[str, ...]] = (
        ".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz", ".csv.zst", ".tsv.zst", ".txt.zst",
    )  # fmt: skip

    reading_keys: ClassVar[tuple[str, ...]] = (
        *TableSource.reading_keys, "separator", "encoding", "decimal", "missing",
    )  # fmt: skip

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        open_bytes = opener(self.path)
        keys = self.settled(open_bytes, notice)
        table = read_text_table(open_bytes, self.path, text_columns=text_columns, notice=notice, **keys)
        doubtful = self._doubtful([table], text_columns)
        if doubtful:
            return read_text_table(open_bytes, self.path, text_columns=[*text_columns, *doubtful], **keys)
        return table

    def chunks(self, rows: int, text_columns: list[str], notice: Notice) -> Iterator[pd.DataFrame]:
        if matching_files(self.path) != [self.path]:
            yield from super().chunks(rows, text_columns, notice)
            return
        open_bytes = opener(self.path)
        keys = self.settled(open_bytes, notice)
        pieces = text_table_chunks(open_bytes, self.path, rows, text_columns=text_columns, **keys)
        as_text = [*text_columns, *self._doubtful(pieces, text_columns)]
        yield from text_table_chunks(open_bytes, self.path, rows, text_columns=as_text, notice=notice, **keys)

    def _doubtful(self, pieces: Iterable[pd.DataFrame], text_columns: list[str]) -> list[str]:
        """Return the columns of fractions of a table that writes decimal commas elsewhere.

        1.234 may be a thousand there: the cells are needed as they are written. Nothing is read if the mark is given.
        """
        from mtl_cli.data.tables.deciding import has_decimal_commas

        if self.decimal is not None:
            return []
        found: dict[str, None] = {}
        commas = False
        for piece in pieces:
            found |= {str(name): None for name, values in piece.items() if values.dtype.kind == "f"}
            commas = commas or has_decimal_commas(values for name, values in piece.items() if name not in text_columns)
        return list(found) if commas else []

    def settled(self, open_bytes: Opener, notice: Notice) -> ReadingKeys:
        """Return the keys that this file is read with."""
        return ReadingKeys(
            separator=self.separator, encoding=self.encoding, decimal=self.decimal or ".", missing=self.missing
        )

    @property
    def decimal_mark(self) -> str | None:
        return self.decimal

    def like(self, kind: type[TableSource], path: str) -> TableSource:
        found = super().like(kind, path)
        return LikeCSV(**vars(found)) if type(found) is CSV else found


@dataclass(frozen=True, kw_only=True)
class LikeCSV(CSV):
    """A file to predict: its separator is found where it is not that of the training file."""

    def settled(self, open_bytes: Opener, notice: Notice) -> ReadingKeys:
        keys = super().settled(open_bytes, notice)
        text = first_lines(open_bytes)
        header = next((line for line in text.splitlines() if line.strip()), "")
        found = None if self.separator is None else one_character(self.separator)
        if found is None or found not in header:
            found, before = detect_separator(text), found
            if before is not None and found in header:
                notice(f"{self.path}: the header has no '{before}' between its columns; they are cut at '{found}'")
        if found == self.decimal and found in header:
            notice(f"{self.path}: its columns are cut at '{found}', so its numbers are read with a decimal point")
            keys["decimal"] = "."
        keys["separator"] = found
        return keys


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

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the table. Columns have types, so ``text_columns`` are not needed here."""
        from mtl_cli.data.tables.columnar import read_parquet

        return read_parquet(opener(self.path), self.path, notice)
