"""Sequences as FASTA, with a table of labels or with labels in the headers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import component, components, file_suffixes, kind_of_file
from mtl_cli.config.schema import Config
from mtl_cli.data.base import Notice
from mtl_cli.data.files import read_bytes, resolve
from mtl_cli.data.sequences.fasta import read_fasta
from mtl_cli.data.sequences.reader import check_unique
from mtl_cli.data.tables.config import TableSource
from mtl_cli.data.tables.encoding import decode
from mtl_cli.data.tables.reading import stripped
from mtl_cli.data.tables.text import MISSING

if TYPE_CHECKING:
    import pandas as pd


@component("dataset", "fasta")
@dataclass(frozen=True, kw_only=True)
class FASTA(TableSource):
    """Sequences by id, plain or gzipped; all else about them from their headers and a table.

    A header is an id, and ``key=value`` as often as wished; each key is a column. The columns of the table ``labels``
    are joined to these by id, so that a task, a split or a weight may name either.

    Parameters
    ----------
    labels : str, optional
        A table of a row per sequence, in any format that has a column of ids.
    id : str
        What the ids are called: in the table of labels, and in the predictions.
    sequence : str
        What the sequences are called, where a table that is predicted has them.
    unlabelled : {"error", "keep", "drop"}
        What to do about a sequence that the table of labels lacks.
    """

    labels: str | None = None
    id: str | None = "id"
    sequence: str | None = "sequence"
    missing: list[str] = field(default_factory=lambda: list(MISSING))
    unlabelled: Literal["error", "keep", "drop"] = "error"

    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f"{suffix}{packed}" for suffix in (".fasta", ".fa", ".faa", ".fna") for packed in ("", ".gz")
    )
    reading_keys: ClassVar[tuple[str, ...]] = (*TableSource.reading_keys, "labels", "unlabelled", "sequence")
    piped: ClassVar[str] = "fasta"

    def like(self, kind: type[TableSource], path: str) -> TableSource:
        """Return the config of another file; the table of labels is not that file's."""
        return replace(self, path=path, labels=None) if kind is FASTA else super().like(kind, path)

    def check(self, config: Config) -> Iterator[Problem]:
        yield from super().check(config)
        for key, name in (("id", self.id), ("sequence", self.sequence)):
            if name is None:
                yield Problem(f"dataset.{key}", "must be a name", f"dataset.{key}={key}")
        if self.labels is None:
            return
        try:
            resolve(self.labels)
        except UserError as error:
            yield from error.problems
        if self._labels() is None:
            yield Problem(
                "dataset.labels",
                f"{self.labels} does not look like a table by its name",
                f"choose from {file_suffixes()}",
            )

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the sequences, and join what is known of them. Columns in ``text_columns`` stay as they are written."""
        assert self.id is not None and self.sequence is not None
        table = read_fasta(decode(read_bytes(self.path), self.path, None, notice), self.path, self.id, self.sequence)
        return table if self.labels is None else self._join(table, self._read_labels(text_columns, notice), notice)

    def _labels(self) -> TableSource | None:
        """Return the config of the table of labels; None if its name is of no table."""
        kind = None if self.labels is None else kind_of_file(self.labels)
        made = None if kind is None else components("dataset")[kind]
        if made is None or not issubclass(made, TableSource) or issubclass(made, FASTA):
            return None
        source: TableSource = made(path=self.labels)
        return source

    def _read_labels(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        source = self._labels()
        assert self.id is not None and self.labels is not None and source is not None
        labels = source.read([*text_columns, self.id], notice)
        if self.id not in labels.columns:
            hint = f"dataset.id=… names it; {did_you_mean(self.id, labels.columns)}"
            raise UserError("dataset.id", f"{self.labels} has no column '{self.id}'", hint)
        labels = labels.assign(**{self.id: stripped(labels[self.id])})
        if labels[self.id].isna().any():
            row = int(labels[self.id].isna().to_numpy().argmax())
            raise UserError(self.labels, f"row {row + 1} has no id in the column '{self.id}'")
        check_unique(labels[self.id], self.labels)
        return labels.assign(**{self.id: labels[self.id].astype(str)})

    def _join(self, table: pd.DataFrame, labels: pd.DataFrame, notice: Notice) -> pd.DataFrame:
        assert self.labels is not None
        both = [name for name in labels.columns if name in table.columns and name != self.id]
        if both:
            what = f"the column '{both[0]}' is in {self.labels} and in the headers of {self.path}"
            raise UserError("dataset.labels", what, "rename one of the two")
        known = table[self.id].isin(labels[self.id])
        if not known.any():
            what = f"no id of {self.path}, such as '{table[self.id].iloc[0]}', is in the column '{self.id}'"
            raise UserError(self.labels, what, f"there it is '{labels[self.id].iloc[0]}'")
        if not known.all():
            row = int((~known).to_numpy().argmax())
            what = f"record {row + 1} ('{table[self.id].iloc[row]}') of {self.path}"
            if self.unlabelled == "error":
                hint = "dataset.unlabelled=keep takes such a sequence without labels, drop leaves it out"
                raise UserError(self.labels, f"{(~known).sum()} sequences have no row; the first is {what}", hint)
            done = "left out" if self.unlabelled == "drop" else "kept without labels"
            notice(f"{self.labels}: {(~known).sum()} sequences have no row and are {done}; the first is {what}")
        extra = int((~labels[self.id].isin(table[self.id])).sum())
        if extra:
            notice(f"{self.labels}: {extra} rows are of no sequence in {self.path}, and are left out")
        how: Literal["left", "inner"] = "left" if self.unlabelled == "keep" else "inner"
        return table.merge(labels, on=self.id, how=how, sort=False)
