"""Cells made for tests: counts of genes that depend on a type, in levels; and .h5ad files of them."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from scipy.sparse import csr_array

LEVELS = (2, 4, 8)
"""Classes of the levels, coarse to fine."""


def make_cells(rows: int = 400, seed: int = 0, levels: tuple[int, ...] = LEVELS) -> pd.DataFrame:
    """Return the labels of cells: ``level1`` to ``level<n>``, each dividing the one before."""
    classes = np.random.default_rng(seed).integers(0, levels[-1], rows)
    columns = {}
    for i in reversed(range(len(levels))):
        columns[f"level{i + 1}"] = np.array([f"{'abcdef'[i]}{c}" for c in range(levels[i])], object)[classes]
        classes = classes * levels[i - 1] // levels[i]
    return pd.DataFrame(dict(reversed(columns.items())))


def make_counts(labels: pd.DataFrame, genes: int = 60, seed: int = 0) -> csr_array:
    """Return counts in which every class of every level has genes of its own, (cells, genes)."""
    random = np.random.default_rng(seed)
    rate = np.full((len(labels), genes), 0.15)
    for column in labels:
        for name in sorted(labels[column].dropna().unique()):
            marked = random.choice(genes, 4, replace=False)
            rate[np.ix_(np.flatnonzero(labels[column] == name), marked)] += 2.0
    return csr_array(random.poisson(rate).astype("float32"))


def write_h5ad(path: Path, x: object, obs: pd.DataFrame, genes: list[str] | None = None, **more: object) -> Path:
    """Write an .h5ad file with ``anndata``'s own writers, element by element; text as categories, as it does itself."""
    from anndata.io import write_elem

    from mtl_cli.data.cells.file import plain_text

    width = x.shape[1]  # type: ignore[attr-defined]
    names = genes if genes is not None else [f"G{i}" for i in range(width)]
    cells = [f"cell{i}" for i in range(len(obs))]
    with h5py.File(path, "w") as file:
        write_elem(file, "X", x)
        text = [name for name in obs if not pd.api.types.is_numeric_dtype(obs[name].dtype)]
        write_elem(file, "obs", plain_text(obs.astype(dict.fromkeys(text, "category")).set_axis(cells)))
        write_elem(file, "var", plain_text(pd.DataFrame(more.pop("var", {}), index=names)))
        for key, value in more.items():
            write_elem(file, key, value)
        file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    return path
