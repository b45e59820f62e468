"""Single cells: from an .h5ad file to parts that share one sparse matrix, and reading more cells of the same genes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mtl_cli.config.errors import UserError
from mtl_cli.data.cells.file import CellFile
from mtl_cli.data.cells.genes import GeneConfig, chosen_genes, gene_names, match_genes
from mtl_cli.data.cells.hierarchy import Hierarchy, learn_hierarchy
from mtl_cli.data.cells.rows import CSRRows, OnDisk, Store, in_memory
from mtl_cli.data.cells.scan import Scan, scan
from mtl_cli.data.cells.variable_genes import most_variable
from mtl_cli.data.inputs import InputSpec
from mtl_cli.data.prepared import Examples, Notice, Prepared, Reader, TaskFactory, fit_tasks
from mtl_cli.data.split import split_rows
from mtl_cli.data.tables.dataset import check_columns
from mtl_cli.data.tables.reader import fingerprint, row_weights

if TYPE_CHECKING:
    from mtl_cli.data.sources.h5ad import H5AD

KIN = "_same_values"
LARGEST_LOG = 50.0
"""No log of a count is larger: e⁵⁰ is 5 · 10²¹."""


@dataclass(frozen=True)
class CellReader:
    """Reads cells as a model's training cells were read.

    Parameters
    ----------
    source : H5AD
        The data set's config.
    genes : list of str
        What the network reads, in order.
    whole : bool
        Whether all training values were whole numbers.
    labels : list of str
        The label columns.
    fingerprint : str
        Of the data set's own cells, to tell whether they are still the same.
    hierarchy : Hierarchy, optional
    """

    source: H5AD
    genes: list[str]
    whole: bool
    labels: list[str]
    fingerprint: str
    hierarchy: Hierarchy | None = None

    @property
    def spec(self) -> InputSpec:
        """What the network reads: a number per gene."""
        return InputSpec("features", (len(self.genes),), self.genes)

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {
            "genes": self.genes,
            "whole": self.whole,
            "labels": self.labels,
            "fingerprint": self.fingerprint,
            "hierarchy": None if self.hierarchy is None else self.hierarchy.state(),
        }

    @classmethod
    def from_state(cls, source: H5AD, state: dict[str, Any]) -> CellReader:
        """Make the reader that ``state`` was taken from."""
        hierarchy = None if state["hierarchy"] is None else Hierarchy(**state["hierarchy"])
        return cls(source, **{**state, "hierarchy": hierarchy})

    def read(self, path: str, notice: Notice) -> Examples:
        """Read cells of another file: its genes are matched by name."""
        file = self.source.open(path)
        columns = match_genes(self.genes, self.source.genes, file, self.source.min_overlap, notice)
        advice = "the run reads files as it was trained to: give such a file, or train with"
        found = scan(file, self.source.transform, advice)
        if self.source.transform != "binarize" and found.whole != self.whole:
            kinds = ["whole numbers, as counts are", "not whole numbers"]
            these, those = kinds if found.whole else kinds[::-1]
            notice(f"{path}: its values are {these}, and those in training were {those}; are both of one kind?")
        return Examples(self.rows(file, columns, found), file.obs, self.ids(file), path)

    def read_own(self, notice: Notice) -> Examples:
        """Read the run's own cells. Raises UserError if they are not as they were."""
        path = self.source.path
        file = self.source.open(path)
        found = scan(file, self.source.transform)
        if mark(file, found, self.labels) != self.fingerprint:
            raise UserError(path, "is not as it was when the run was made", "give a file to evaluate on")
        columns = match_genes(self.genes, self.source.genes, file, self.source.min_overlap, lambda line: None)
        return Examples(self.rows(file, columns, found), file.obs, self.ids(file), path, found.kin.view("int64"))

    def rows(self, file: CellFile, columns: np.ndarray, found: Scan) -> CSRRows:
        """Return all cells of a file, whose genes stand in ``columns`` of the model, and close it unless ``backed``."""
        store: Store
        if self.source.backed:
            store = OnDisk(file.matrix, columns, len(self.genes), self.source.transform)
        else:
            entries = int(found.counts[columns >= 0].sum())
            store = in_memory(file.matrix, columns, len(self.genes), entries, self.source.transform)
            file.close()
        return CSRRows(store, np.arange(len(file.matrix)), len(self.genes))

    def ids(self, file: CellFile) -> pd.Series:
        """Return what names the cells of a file."""
        column = self.source.id
        return file.names if column is None or column not in file.obs.columns else file.obs[column]


def prepare_cells(
    config: H5AD, tasks: Mapping[str, TaskFactory], notice: Notice, like: Reader | None = None
) -> Prepared:
    """Read, split and encode; see ``TableDataset.prepare``."""
    file = config.open(config.path)
    table, path = file.obs, config.path
    keys = {"id": config.id, "weight": config.weight}
    keys |= {f"split.{key}": getattr(config.split, key) for key in ("group", "time", "column")}
    check_columns(table, path, tasks, keys)
    found = scan(file, config.transform)
    if config.transform == "log1p" and not found.whole:
        notice(f"{file.matrix.where} is not of whole numbers; if they are logs already, dataset.transform=none")

    every = np.arange(len(table))
    parts_wanted = 2 + (config.split.val > 0 and config.split.test > 0)

    def strata(name: str) -> pd.Series:
        labels = tasks[name].fit(name, table, every).labels(table)
        return pooled(labels, parts_wanted, name, notice)

    split = split_rows(config.split, table.assign(**{KIN: found.kin}), [KIN], strata, notice)
    fitted = fit_tasks(tasks, table, split.train, notice)
    if isinstance(like, CellReader):
        if replace(config.genes, names=None) != GeneConfig():
            notice("dataset.genes: the genes are those of the run that init_from names, not those chosen here")
        names = like.genes
        columns = match_genes(names, config.genes, file, config.min_overlap, notice)
    else:
        genes = _genes(config, file, found, split.train, notice)
        names = gene_names(config.genes, file.var)[genes].tolist()
        columns = np.full(len(file.var), -1, "int32")
        columns[genes] = np.arange(len(genes))
    labels = list(dict.fromkeys(column for name, task in tasks.items() for column in task.columns(name)))
    reader = CellReader(config, names, found.whole, labels, mark(file, found, labels))
    examples = Examples(reader.rows(file, columns, found), table, reader.ids(file), path)
    weights = None if config.weight is None else row_weights(table[config.weight], config.weight)
    parts = {}
    for part in ("train", "val", "test"):
        rows = getattr(split, part)
        if len(rows):
            counts = weights[rows] if weights is not None and part == "train" else None
            parts[part] = examples.select(rows).part(fitted, split.repeats.get(part), counts)
    hierarchy = learn_hierarchy(config.hierarchy, config.levels, fitted, parts["train"].targets, notice)
    splits = pd.DataFrame({examples.ids.name: examples.ids, "split": split.names(len(table))})
    return Prepared(fitted, replace(reader, hierarchy=hierarchy), parts, splits)


def _genes(config: H5AD, file: CellFile, found: Scan, train: np.ndarray, notice: Notice) -> np.ndarray:
    """Return the numbers of the genes that the config chooses, given the rows to train on."""
    genes = chosen_genes(config.genes, file, notice)
    if config.genes.highly_variable is None:
        return genes
    if found.least < 0:
        what = f"needs counts or logs of counts, and {file.matrix.where} holds values below zero"
        raise UserError("dataset.genes.highly_variable", what, " or ".join(file.remedies) or None)
    if config.genes.highly_variable >= len(genes):
        notice(f"{config.path}: there are {len(genes)} genes; all are taken")
        return genes
    if config.transform == "none" and (found.whole or found.most > LARGEST_LOG):
        kind = "whole numbers" if found.whole else f"values as large as {found.most:.4g}"
        what = f"needs logs under dataset.transform=none, and {file.matrix.where} holds {kind}: its values are counts"
        raise UserError("dataset.genes.highly_variable", what, "dataset.transform=log1p")
    trained = np.zeros(len(file.obs), bool)
    trained[train] = True
    return most_variable(file.matrix, trained, genes, config.genes.highly_variable, config.transform)


def pooled(labels: pd.Series, parts: int, name: str, notice: Notice) -> pd.Series:
    """Return labels to spread evenly: classes with fewer rows than there are parts count as one class together.

    If that one is too small as well, its rows count with the largest class.
    """
    if pd.api.types.is_float_dtype(labels.dtype):
        return labels
    text = labels.map(str, na_action="ignore").fillna("(missing)")
    counts = text.value_counts()
    rare = counts[counts < parts]
    if rare.empty:
        return text
    shown = ", ".join(rare.index[:5]) + (", …" if len(rare) > 5 else "")
    notice(f"dataset.split.stratify: {len(rare)} of the {len(counts)} classes of {name} have fewer than {parts} cells"
           f" ({shown}); they are spread as one class")  # fmt: skip
    return text.mask(text.isin(rare.index), "(rare)" if rare.sum() >= parts else counts.index[0])


def mark(file: CellFile, found: Scan, labels: list[str]) -> str:
    """Return a number that changes with any value, gene, label or the order of the cells."""
    digest = hashlib.sha256(found.kin.tobytes())
    digest.update("\n".join(file.var.index.astype(str)).encode())
    digest.update(fingerprint(file.obs[labels]).encode())
    return digest.hexdigest()
