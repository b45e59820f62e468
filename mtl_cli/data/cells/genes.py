"""Which genes a model reads: by name, or those that vary most; and finding them by name in another file."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.cells.matrix import CellMatrix, Transform

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.base import Notice

BINS = 20
"""Of mean expression, within which the variation of genes is compared."""
_ENSEMBL = re.compile(r"ENS[A-Z]*G\d{6,}(\.\d+)?", flags=re.ASCII)


@dataclass(frozen=True)
class GeneConfig:
    """Which genes are inputs.

    Parameters
    ----------
    names : str, optional
        The column of ``var`` that names the genes; its index where None.
    include, exclude : list of str
        Names or patterns such as ``MT-*``; ``include: null`` takes all genes.
    column : str, optional
        A true/false column of ``var``; the genes where it is true are taken.
    highly_variable : int, optional
        So many of the genes that are left: those that vary most over the training cells, see ``most_variable``.
    """

    names: str | None = None
    include: list[str] | None = None
    exclude: list[str] = field(default_factory=list)
    column: str | None = None
    highly_variable: PositiveInt | None = None


def gene_names(config: GeneConfig, var: pd.DataFrame) -> np.ndarray:
    """Return the genes' names, as text."""
    if config.names is None:
        return var.index.astype(str).to_numpy(dtype=object)
    if config.names not in var.columns:
        hint = did_you_mean(config.names, var.columns)
        raise UserError("dataset.genes.names", f"var has no column '{config.names}'", hint)
    return var[config.names].astype(str).to_numpy(dtype=object)


def chosen_genes(config: GeneConfig, var: pd.DataFrame, where: str, notice: Notice) -> np.ndarray:
    """Return the numbers of the genes that the config names, before ``highly_variable``, each name once.

    Parameters
    ----------
    config : GeneConfig
    var : DataFrame
        A file's genes; the index is their names.
    where : str
        The file's path, for messages.
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If a column or gene is not there, or no gene is left.
    """
    names = gene_names(config, var)
    kept = _first_of_each(names, where, notice)
    if config.column is not None:
        kept &= _flags(config.column, var, where)
    if config.include is not None:
        kept &= _fitting(config.include, names, "include")
    kept &= ~_fitting(config.exclude, names, "exclude")
    if not kept.any():
        raise UserError("dataset.genes", f"no gene of {where} is left", "exclude fewer")
    return np.flatnonzero(kept)


def _first_of_each(names: np.ndarray, where: str, notice: Notice, among: set[str] | None = None) -> np.ndarray:
    """Tell which names several genes have, and return which genes are the first of theirs."""
    _, first = np.unique(names.astype(str), return_index=True)
    kept = np.zeros(len(names), bool)
    kept[first] = True
    twice = list(dict.fromkeys(name for name in names[~kept] if among is None or name in among))
    if twice:
        notice(f"{where}: {_listed(twice, 'gene name')} occur more than once; the first of each is read")
    return kept


def _listed(names: list[str], what: str) -> str:
    """Return such as `2 gene names (A, B)`."""
    return f"{len(names)} {what}{'s' * (len(names) > 1)} ({', '.join(names[:5])}{', …' * (len(names) > 5)})"


def _flags(column: str, var: pd.DataFrame, where: str) -> np.ndarray:
    if column not in var.columns:
        hint = did_you_mean(column, var.columns)
        raise UserError("dataset.genes.column", f"the var of {where} has no column '{column}'", hint)
    flags = var[column]
    if flags.dtype != bool:
        raise UserError("dataset.genes.column", f"'{column}' is {flags.dtype}, not true or false")
    return flags.to_numpy()


def _fitting(patterns: list[str], names: np.ndarray, key: str) -> np.ndarray:
    known = set(names)
    literal = {pattern for pattern in patterns if pattern in known}
    fits = np.array([name in literal for name in names])
    for pattern in (pattern for pattern in patterns if pattern not in literal):
        matches = re.compile(fnmatch.translate(pattern)).match
        found = np.array([matches(name) is not None for name in names])
        if not found.any():
            raise UserError(f"dataset.genes.{key}", f"no gene is '{pattern}'", did_you_mean(pattern, names))
        fits |= found
    return fits


def match_genes(
    wanted: list[str], config: GeneConfig, var: pd.DataFrame, where: str, min_overlap: float, notice: Notice
) -> np.ndarray:
    """Find the genes that a model reads among a file's.

    They are looked for in the column of ``var`` that named them in training; if too few are there, in the column that
    has most of them, such as symbols beside Ensembl ids, and Ensembl ids without their versions.

    Parameters
    ----------
    wanted : list of str
        The model's genes.
    config : GeneConfig
    var : DataFrame
        The file's genes; the index is their names.
    where : str
        The file's path, for messages.
    min_overlap : float
        The share of them that must be there.
    notice : callable
        Takes a line that the user should see.

    Returns
    -------
    ndarray of int32, shape (genes of the file,)
        The model's column of each gene, −1 for those that it does not read.

    Raises
    ------
    UserError
        If fewer are there.
    """
    columns = _text_columns(var)
    usual = f"'{config.names}'" if f"'{config.names}'" in columns else "its index"
    source, names = _naming_column(wanted, columns, usual, min_overlap)
    goal = set(wanted)
    found = goal & set(names)
    if len(found) < max(1, min_overlap * len(wanted)):
        what = f"holds {len(found)} of the run's {len(wanted)} genes, and dataset.min_overlap is {min_overlap:g}"
        raise UserError(where, what, _difference(wanted, columns[usual]))
    if source != usual:
        notice(f"{where}: the run's genes are not in {usual} of var, and are found in {source}")
    if missing := [gene for gene in wanted if gene not in found]:
        notice(
            f"{where}: {len(found)} of the run's {len(wanted)} genes are there;"
            f" {_listed(missing, 'other')} count as zero"
        )
    else:
        notice(f"{where}: all {len(wanted)} of the run's genes are there")
    kept = _first_of_each(names, where, notice, goal)
    position = {gene: i for i, gene in enumerate(wanted)}
    return np.array([position.get(name, -1) if first else -1 for name, first in zip(names, kept, strict=True)], "int32")


def _naming_column(
    wanted: list[str], columns: dict[str, np.ndarray], usual: str, min_overlap: float
) -> tuple[str, np.ndarray]:
    """Return which column names a model's genes, and its names: the usual one unless too few are there."""
    goal = set(wanted)
    shares = {name: len(goal & set(names)) / len(wanted) for name, names in columns.items()}
    if shares[usual] >= min_overlap:
        return usual, columns[usual]
    source = max(shares, key=lambda name: shares[name])
    bare = {gene.split(".")[0]: gene for gene in wanted if _ENSEMBL.fullmatch(gene)}
    if shares[source] >= min_overlap or not bare:
        return source, columns[source]
    renamed = {
        name: np.array([bare.get(gene.split(".")[0], gene) for gene in genes], object)
        for name, genes in columns.items()
    }
    source = max(renamed, key=lambda name: len(goal & set(renamed[name])))
    return source, renamed[source]


def _text_columns(var: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return what may name the genes, by what to call it: the index, and the columns that are no numbers."""
    columns = {"its index": var.index.astype(str).to_numpy(dtype=object)}
    for name in var.columns:
        values = var[name]
        if not (values.dtype.kind in "biufc" if isinstance(values.dtype, np.dtype) else False):
            columns[f"'{name}'"] = values.astype(str).to_numpy(dtype=object)
    return columns


def _difference(wanted: list[str], names: np.ndarray) -> str:
    """Say in what two lists of genes differ."""
    ours, theirs = (sum(bool(_ENSEMBL.fullmatch(name)) for name in list(some)[:1000]) for some in (wanted, names))
    examples = f"({wanted[0]}, …) and this file's {{}} ({names[0]}, …)" if len(names) else ""
    if 2 * ours > min(len(wanted), 1000) and 2 * theirs < min(len(names), 1000):
        return f"the run's are Ensembl ids {examples.format('are symbols')}; a column of var with Ensembl ids would do"
    if 2 * ours < min(len(wanted), 1000) and 2 * theirs > min(len(names), 1000):
        return f"the run's are symbols {examples.format('are Ensembl ids')}; a column of var with symbols would do"
    folded = len({name.lower() for name in wanted} & {name.lower() for name in names})
    if 2 * folded > len(wanted):
        return f"but {folded} if case did not count: is it of another species?"
    return f"the run's begin {', '.join(wanted[:3])}; this file's {', '.join(names[:3])}"


def most_variable(matrix: CellMatrix, cells: np.ndarray, genes: np.ndarray, count: int, how: Transform) -> np.ndarray:
    """Return the ``count`` genes with the highest normalised dispersion, in their order in the file.

    This is the flavour "seurat" of ``scanpy.pp.highly_variable_genes`` (Satija et al. 2015, doi 10.1038/nbt.3192), read
    in one pass over the file. With counts x_cg, of mean μ_g and variance σ²_g (n − 1) over the cells, and
    d_g = log(σ²_g / μ_g): genes are put into 20 bins of equal width by log(1 + μ_g), and ranked by

        z_g = (d_g − mean of d in g's bin) / standard deviation of d in g's bin (n − 1),

    which is 1 for a gene alone in its bin. Genes that do not vary come last. Deviation: moments are summed in float64.

    Parameters
    ----------
    matrix : CellMatrix
    cells : ndarray of bool, shape (n,)
        The training cells.
    genes : ndarray of int
        The genes to choose from.
    count : int
    how : {"none", "log1p", "binarize"}
        Under ``none`` the file's values are taken for logs, x = exp(v) − 1 (scanpy's rule), else for counts.

    Returns
    -------
    ndarray of int
    """
    mean, variance = _moments(matrix, cells, how)
    score = normalised_dispersion(mean[genes], variance[genes]).to_numpy()
    best = np.argsort(-np.where(np.isnan(score), -np.inf, score), kind="stable")[:count]
    return np.sort(genes[best])


def normalised_dispersion(mean: np.ndarray, variance: np.ndarray) -> pd.Series:
    """Return z_g of ``most_variable``; NaN for genes that do not vary."""
    import pandas as pd

    ratio = variance / np.where(mean == 0, 1e-12, mean)
    dispersion = pd.Series(np.log(np.where(ratio == 0, np.nan, ratio)))
    bins = pd.cut(pd.Series(np.log1p(np.where(mean == 0, 1e-12, mean))), bins=BINS)
    grouped = dispersion.groupby(bins, observed=True)
    center, spread = grouped.transform("mean"), grouped.transform("std")
    alone = spread.isna() & dispersion.notna()
    return ((dispersion - center) / spread).mask(alone, 1.0)


def _moments(matrix: CellMatrix, cells: np.ndarray, how: Transform) -> tuple[np.ndarray, np.ndarray]:
    genes = matrix.shape[1]
    total, squares = np.zeros(genes), np.zeros(genes)
    for start, stop in matrix.blocks():
        block = matrix.block(start, stop)[np.flatnonzero(cells[start:stop])]
        values = block.data.astype("float64")
        values = np.expm1(values) if how == "none" else values
        total += np.bincount(block.indices, values, genes)
        squares += np.bincount(block.indices, values * values, genes)
    n = int(cells.sum())
    mean = total / n
    return mean, np.maximum(squares - n * mean * mean, 0) / max(n - 1, 1)
