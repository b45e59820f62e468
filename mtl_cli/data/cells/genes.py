"""Which genes a model reads, and finding them by name in another file."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import UserError, did_you_mean

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.cells.file import CellFile

Notice = Callable[[str], None]
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


def chosen_genes(config: GeneConfig, file: CellFile, notice: Notice) -> np.ndarray:
    """Return the numbers of the genes that the config names, before ``highly_variable``, each name once.

    Raises
    ------
    UserError
        If a column or gene is not there, or no gene is left.
    """
    names = gene_names(config, file.var)
    kept = _first_of_each(names, file.path, notice)
    if config.column is not None:
        kept &= _flags(config.column, file)
    if config.include is not None:
        kept &= _fitting(config.include, names, "include")
    kept &= ~_fitting(config.exclude, names, "exclude")
    if not kept.any():
        raise UserError("dataset.genes", f"no gene of {file.path} is left", "exclude fewer")
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


def _flags(column: str, file: CellFile) -> np.ndarray:
    if column not in file.var.columns:
        hint = did_you_mean(column, file.var.columns)
        raise UserError("dataset.genes.column", f"the var of {file.path} has no column '{column}'", hint)
    flags = file.var[column]
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
    wanted: list[str], config: GeneConfig, file: CellFile, min_overlap: float, notice: Notice
) -> np.ndarray:
    """Find the genes that a model reads among a file's.

    They are looked for in the column of ``var`` that named them in training; if too few are there, in the column that
    has most of them, such as symbols beside Ensembl ids, and Ensembl ids without their versions.

    Parameters
    ----------
    wanted : list of str
        The model's genes.
    config : GeneConfig
    file : CellFile
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
    columns = {"its index": file.var.index.astype(str).to_numpy(dtype=object)}
    for name in file.var.columns:
        values = file.var[name]
        if not (values.dtype.kind in "biufc" if isinstance(values.dtype, np.dtype) else False):
            columns[f"'{name}'"] = values.astype(str).to_numpy(dtype=object)
    usual = f"'{config.names}'" if f"'{config.names}'" in columns else "its index"
    goal = set(wanted)
    shares = {name: len(goal & set(names)) / len(wanted) for name, names in columns.items()}
    source, names = usual, columns[usual]
    if shares[usual] < min_overlap:
        source = max(shares, key=lambda name: shares[name])
        names, best = columns[source], shares[source]
        bare = {gene.split(".")[0]: gene for gene in wanted if _ENSEMBL.fullmatch(gene)}
        if best < min_overlap and bare:
            renamed = {
                n: np.array([bare.get(gene.split(".")[0], gene) for gene in c], object) for n, c in columns.items()
            }
            source = max(renamed, key=lambda name: len(goal & set(renamed[name])))
            names = renamed[source]
    found = goal & set(names)
    if len(found) < max(1, min_overlap * len(wanted)):
        what = f"holds {len(found)} of the run's {len(wanted)} genes, and dataset.min_overlap is {min_overlap:g}"
        raise UserError(file.path, what, _difference(wanted, columns[usual]))
    if source != usual:
        notice(f"{file.path}: the run's genes are not in {usual} of var, and are found in {source}")
    if missing := [gene for gene in wanted if gene not in found]:
        notice(
            f"{file.path}: {len(found)} of the run's {len(wanted)} genes are there;"
            f" {_listed(missing, 'other')} count as zero"
        )
    else:
        notice(f"{file.path}: all {len(wanted)} of the run's genes are there")
    kept = _first_of_each(names, file.path, notice, goal)
    position = {gene: i for i, gene in enumerate(wanted)}
    return np.array([position.get(name, -1) if first else -1 for name, first in zip(names, kept, strict=True)], "int32")


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
