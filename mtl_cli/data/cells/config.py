"""What YAML says of single cells as .h5ad files: `mtl train dataset=cells.h5ad`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mtl_cli.config.errors import Problem, UserError, did_you_mean, unknown_tasks
from mtl_cli.config.registry import component, components
from mtl_cli.config.schema import Config
from mtl_cli.data.base import (
    DataSource,
    Examples,
    Notice,
    Prepared,
    Reader,
    encode_parts,
    fit_tasks,
    id_problems,
)
from mtl_cli.data.cells.file import EXTRA, STORE, CellFormat, located, missing_extra
from mtl_cli.data.files import STDIN
from mtl_cli.data.split import Rows, SplitConfig, split_rows
from mtl_cli.data.tables.deciding import Use, Words, label_uses, named_labels
from mtl_cli.data.weights import weight_columns, weighted
from mtl_cli.tasks.labels import USUAL_NO_LABEL
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.cells.scan import Scan
    from mtl_cli.data.folding import Folding


@component("dataset", "h5ad")
@dataclass(frozen=True, kw_only=True)
class H5AD(CellFormat, DataSource):
    """Cells by genes, with labels in columns of ``obs``. What is read of a file, ``CellFormat`` says.

    Parameters
    ----------
    weight : str, optional
        The column of ``obs`` that says how much a cell counts in the training loss. Metrics count all cells alike.
    no_label : list of str
        What a missing label may be written as; a label that a task names is one.
    split : SplitConfig
        Its columns are those of ``obs``. A class with fewer cells than there are parts is stratified with others.
    hierarchy : {"report", "enforce", "none"}
        What to do about predictions of one level that contradict those of another; see ``Hierarchy``.
    levels : list of str, optional
        The tasks that are levels, coarse to fine; those that nest in the training labels where None.
    """

    weight: str | None = None
    no_label: list[str] = field(default_factory=lambda: list(USUAL_NO_LABEL))
    split: SplitConfig = field(default_factory=SplitConfig)
    hierarchy: Literal["report", "enforce", "none"] = "report"
    levels: list[str] | None = None

    suffixes: ClassVar[tuple[str, ...]] = (".h5ad", STORE)
    keeps_features: ClassVar[bool] = True

    @property
    def input_kind(self) -> Literal["features"]:
        return "features"

    @property
    def file(self) -> str:
        return self.path

    @property
    def makes_folds(self) -> bool:
        return True

    @property
    def validates(self) -> bool:
        return self.split.val > 0

    def check(self, config: Config) -> Iterator[Problem]:
        if missing_extra():
            yield Problem("dataset", f"reading .h5ad files needs {missing_extra()}", EXTRA)
        elif self.path == STDIN:
            yield Problem("dataset.path", "an .h5ad file cannot come through a pipe", "give its name")
        else:
            try:
                located(self.path)
            except UserError as error:
                yield from error.problems
        if self.layer is not None and self.use_raw:
            yield Problem("dataset.layer", "cannot read a layer and raw at once", "choose one")
        if isinstance(self.layer, list) and len(set(self.layer)) < max(1, len(self.layer)):
            yield Problem("dataset.layer", "needs one layer or more, each named once", "null reads X")
        tasks = config.tasks or {}
        yield from self.split.check(list(tasks))
        yield from id_problems(self.id, tasks)
        if self.levels is None:
            return
        yield from unknown_tasks(self.levels, list(tasks), "dataset.levels")
        for name in sorted({name for name in self.levels if self.levels.count(name) > 1}):
            yield Problem("dataset.levels", f"'{name}' is named more than once", "each level once, coarse to fine")
        kind = components("task")["multiclass"]
        for name in self.levels:
            if name in tasks and not isinstance(tasks[name], kind):
                several = [other for other, task in tasks.items() if isinstance(task, kind)]
                yield Problem("dataset.levels", f"'{name}' is not a multiclass task", did_you_mean(name, several))

    def prepare(
        self,
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
        folding: Folding | None = None,
    ) -> Prepared:
        """Read, split and encode; with ``like``, a reader of cells, the genes are its genes, found by name."""
        from mtl_cli.data.cells.reader import CellReader, genes_of, mark, pooled
        from mtl_cli.data.cells.scan import scan
        from mtl_cli.data.held_out import hold_out
        from mtl_cli.data.tables.deciding import decide
        from mtl_cli.data.tables.reader import check_columns
        from mtl_cli.tasks.hierarchy import learn_hierarchy

        file = self.open(self.path)
        table = file.obs
        keys = {f"dataset.split.{key}": name for key, name in self.split.named_columns().items()}
        keys |= weight_columns(self.weight, tasks)
        check_columns(table, self.path, tasks, {"dataset.id": self.id, **keys})
        readings = decide(table, self._uses(tasks), self._words(tasks), self.path, notice)
        table = readings.apply(table)
        found = scan(file, self.transform)
        if self.transform == "log1p" and not found.whole:
            notice(f"{file.matrix.where} is not of whole numbers; if they are logs already, dataset.transform=none")
        parts = 2 + (self.split.val > 0 and self.split.test > 0)
        read_labels = lambda name: pooled(tasks[name].strata(name, table), parts, name, notice)  # noqa: E731
        rows = Rows(found.duplicate_groups, read_labels, self.names(file))
        split = split_rows(self.split, table, rows, notice)
        split, held_out = hold_out(folding, self.split, split, table, rows, tasks, table, notice)
        fitted = fit_tasks(tasks, table, split.train, notice)
        genes, columns = genes_of(self, file, found, split.train, notice, like)
        labels = list(dict.fromkeys(column for name, task in tasks.items() for column in task.columns(name)))
        reader = CellReader(self, genes, found.whole, labels, readings, mark(file, found, labels))
        examples = Examples(reader.rows(file, columns, found), table, self.names(file), self.path)
        encoded = encode_parts(split, fitted, examples.select)
        encoded["train"] = weighted(encoded["train"], table, split.train, self.weight, tasks)
        hierarchy = learn_hierarchy(self.hierarchy, self.levels, fitted, encoded["train"].targets, notice)
        reader, about = replace(reader, hierarchy=hierarchy), self._about(found, len(genes))
        return Prepared(fitted, reader, encoded, split.table(examples.ids), held_out, about=about)

    def _about(self, found: Scan, genes: int) -> str:
        """Return what the first look says of the genes."""
        total = len(found.counts)
        chosen = f"{genes:,} genes" if genes == total else f"{genes:,} of {total:,} genes"
        filled = found.counts.sum() / max(1, total * len(found.cell_hashes))
        kind = "counts" if found.whole else "values"
        return f"{chosen}: {kind} up to {found.most:.4g}, {filled:.1%} not zero; dataset.transform={self.transform}"

    def _uses(self, tasks: Mapping[str, TaskConfig]) -> dict[str, Use]:
        uses = label_uses(tasks)
        return uses if self.split.group is None else uses | {self.split.group: "text"}

    def _words(self, tasks: Mapping[str, TaskConfig]) -> Words:
        return Words(no_label=self.no_label, labels=named_labels(tasks))

    def label_table(self, notice: Notice) -> pd.DataFrame:
        file = self.open(self.path)
        file.close()
        return file.obs

    def guessed_keys(self) -> dict[str, Any]:
        """Return ``transform: none`` for values that are no counts: they are logs, most likely, or scaled."""
        from mtl_cli.data.cells.scan import scan

        file = self.open(self.path)
        whole = scan(file, "none").whole
        file.close()
        return {} if whole else {"transform": "none"}

    def restore(self, state: dict[str, Any]) -> Reader:
        from mtl_cli.data.cells.reader import CellReader

        return CellReader.from_state(self, state)
