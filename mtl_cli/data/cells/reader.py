"""Reading cells as a model's training cells were read: the genes they share, and rows of one sparse matrix."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Examples, Notice, Reader
from mtl_cli.data.cells.file import CellFile, CellFormat
from mtl_cli.data.cells.genes import GeneConfig, chosen_genes, gene_names, match_genes, most_variable
from mtl_cli.data.cells.rows import CSRRows, OnDisk, Store, in_memory
from mtl_cli.data.cells.scan import Scan, scan
from mtl_cli.data.feature import Feature
from mtl_cli.data.inputs import InputSpec
from mtl_cli.data.reading import with_keys
from mtl_cli.data.tables.reader import fingerprint
from mtl_cli.data.tables.reading import Readings
from mtl_cli.runs.strangers import check_types, made_of
from mtl_cli.tasks.hierarchy import Hierarchy

LARGEST_LOG = 50.0
"""No log of a count is larger: e⁵⁰ is 5 · 10²¹."""


@dataclass(frozen=True)
class CellReader(Reader):
    """Reads cells as a model's training cells were read.

    Parameters
    ----------
    source : CellFormat
        Of the data set's config: what is read of a file.
    genes : list of str
        What the network reads, in order.
    whole : bool
        Whether all training values were whole numbers.
    labels : list of str
        The label columns.
    readings : Readings
        How cells of ``obs`` become values.
    fingerprint : str
        Of the data set's own cells, to tell whether they are still the same.
    hierarchy : Hierarchy, optional
    """

    source: CellFormat
    genes: list[str]
    whole: bool
    labels: list[str]
    readings: Readings
    fingerprint: str
    hierarchy: Hierarchy | None = None

    @property
    def spec(self) -> InputSpec:
        """What the network reads: a number per gene."""
        return InputSpec("features", (len(self.genes),), self.genes)

    @property
    def fingerprints(self) -> dict[str, str]:
        return {"": self.fingerprint}

    def features(self) -> list[Feature]:
        how = "as it is" if self.source.transform == "none" else self.source.transform
        return [Feature(name, "gene", how, [number]) for number, name in enumerate(self.genes)]

    def grid(self, feature: Feature, examples: Examples, points: int) -> tuple[list[Any], np.ndarray] | None:
        found = examples.inputs.take(slice(0, len(examples.inputs)))
        assert isinstance(found, torch.Tensor)
        values = found[:, list(feature.inputs)].numpy()
        chosen = np.unique(np.quantile(values, np.linspace(0, 1, points), method="nearest"))
        return chosen.tolist(), chosen[:, None]

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {
            "genes": self.genes,
            "whole": self.whole,
            "labels": self.labels,
            "readings": self.readings.state(),
            "fingerprint": self.fingerprint,
            "hierarchy": None if self.hierarchy is None else self.hierarchy.state(),
        }

    @classmethod
    def from_state(cls, source: CellFormat, state: dict[str, Any]) -> CellReader:
        """Make the reader that ``state`` was taken from."""
        hierarchy = None if state["hierarchy"] is None else made_of(Hierarchy, state["hierarchy"])
        readings = Readings.from_state(state["readings"])
        check_types(state, {"genes": [str], "whole": bool, "labels": [str], "fingerprint": str})
        return cls(source, **{**state, "hierarchy": hierarchy, "readings": readings})

    @property
    def keys(self) -> tuple[str, ...]:
        return self.source.reading_keys

    def with_keys(self, given: Mapping[str, Any]) -> CellReader:
        return replace(self, source=with_keys(self.source, given, self.keys, "cells"))

    def read(self, path: str, notice: Notice) -> Examples:
        """Read cells of another file: its genes are matched by name."""
        file = self.source.open(path)
        columns = self._match(file, notice)
        found = scan(file, self.source.transform, "give such a file, or")
        if self.source.transform != "binarize" and found.whole != self.whole:
            kinds = ["whole numbers, as counts are", "not whole numbers"]
            these, those = kinds if found.whole else kinds[::-1]
            notice(f"{path}: its values are {these}, and those in training were {those}; are both of one kind?")
        obs = self.readings.apply(file.obs)
        return Examples(self.rows(file, columns, found), obs, self.source.names(file), path)

    def read_own(self, notice: Notice) -> Examples:
        """Read the run's own cells. Raises UserError if they are not as they were."""
        path = self.source.path
        file = self.source.open(path)
        found = scan(file, self.source.transform)
        if mark(file, found, self.labels) != self.fingerprint:
            raise UserError(path, "has changed since the run was made", "give a file to evaluate on")
        columns = self._match(file, lambda line: None)
        obs = self.readings.apply(file.obs)
        examples = Examples(self.rows(file, columns, found), obs, self.source.names(file), path)
        return replace(examples, duplicate_groups=found.duplicate_groups)

    def _match(self, file: CellFile, notice: Notice) -> np.ndarray:
        return match_genes(self.genes, self.source.genes, file.var, file.path, self.source.min_overlap, notice)

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


def genes_of(
    source: CellFormat, file: CellFile, found: Scan, train: np.ndarray, notice: Notice, like: Reader | None
) -> tuple[list[str], np.ndarray]:
    """Return the names of the genes that a network reads, and the network's column of each of the file's genes.

    Parameters
    ----------
    source : CellFormat
    file : CellFile
    found : Scan
    train : ndarray of int
        The rows to train on.
    notice : callable
    like : Reader, optional
        Of cells: the genes are its genes, found by name.

    Returns
    -------
    names : list of str
    columns : ndarray of int32, shape (genes of the file,)
        −1 for those that are not read.
    """
    if isinstance(like, CellReader):
        if replace(source.genes, names=None) != GeneConfig():
            notice("dataset.genes: the genes are those of the run that init_from names, not those chosen here")
        return like.genes, match_genes(like.genes, source.genes, file.var, file.path, source.min_overlap, notice)
    genes = _chosen(source, file, found, train, notice)
    columns = np.full(len(file.var), -1, "int32")
    columns[genes] = np.arange(len(genes))
    return gene_names(source.genes, file.var)[genes].tolist(), columns


def _chosen(source: CellFormat, file: CellFile, found: Scan, train: np.ndarray, notice: Notice) -> np.ndarray:
    """Return the numbers of the genes that the config chooses, given the rows to train on."""
    genes = chosen_genes(source.genes, file.var, file.path, notice)
    if source.genes.highly_variable is None:
        return genes
    if found.least < 0:
        what = f"needs counts or logs of counts, and {file.matrix.where} holds values below zero"
        raise UserError("dataset.genes.highly_variable", what, " or ".join(file.remedies) or None)
    if source.genes.highly_variable >= len(genes):
        notice(f"{source.path}: there are {len(genes)} genes; all are taken")
        return genes
    if source.transform == "none" and (found.whole or found.most > LARGEST_LOG):
        kind = "whole numbers" if found.whole else f"values as large as {found.most:.4g}"
        what = f"needs logs under dataset.transform=none, and {file.matrix.where} holds {kind}: its values are counts"
        raise UserError("dataset.genes.highly_variable", what, "dataset.transform=log1p")
    trained = np.zeros(len(file.obs), bool)
    trained[train] = True
    return most_variable(file.matrix, trained, genes, source.genes.highly_variable, source.transform)


def pooled(labels: pd.Series, parts: int, name: str, notice: Notice) -> pd.Series:
    """Return labels to spread evenly: classes with fewer rows than there are parts count as one class together.

    If that one is too small as well, its rows count with the largest class.
    """
    if pd.api.types.is_float_dtype(labels.dtype) or isinstance(next(iter(labels.dropna()), None), frozenset):
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
    digest = hashlib.sha256(found.cell_hashes.tobytes())
    digest.update("\n".join(file.var.index.astype(str)).encode())
    digest.update(fingerprint(file.obs[labels]).encode())
    return digest.hexdigest()
