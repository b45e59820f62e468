"""A copy of an .h5ad file with more columns in `obs`."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.data.cells.file import open_file
from mtl_cli.data.files import resolve

if TYPE_CHECKING:
    import pandas as pd


def copy_with_columns(source: str, target: Path, columns: pd.DataFrame) -> None:
    """Copy the .h5ad file ``source`` and put ``columns`` into its ``obs``.

    The file is copied byte by byte, and only ``obs`` is touched then: X and all else stay as they are, sparse what is
    sparse, and nothing of it is held in memory. A file of the format before anndata 0.7 has no place for columns; it is
    written anew. A column that is there already is replaced.

    Parameters
    ----------
    source : str
    target : Path
        Filled in place.
    columns : DataFrame
        A row per cell. Text becomes categories.
    """
    import anndata
    import h5py

    file, legacy = open_file(source)
    file.close()
    if legacy:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cells = anndata.read_h5ad(resolve(source))
            cells.obs, cells.var = plain_text(cells.obs), plain_text(cells.var)
            if cells.raw is not None:
                cells.raw.var.index = cells.raw.var.index.astype(object)
            cells.write_h5ad(target)
    else:
        shutil.copyfile(resolve(source), target)
    with h5py.File(target, "r+") as opened:
        obs = opened["obs"]
        names = [str(name) for name in columns.columns]
        order = [str(name) for name in obs.attrs["column-order"] if str(name) not in names]
        for name in names:
            if name in obs:
                del obs[name]
            anndata.io.write_elem(obs, name, _as_stored(columns[name]))
        obs.attrs.create("column-order", np.array([*order, *names], dtype=object), dtype=h5py.string_dtype())


def _as_stored(values: pd.Series) -> Any:
    """Return a column as anndata stores it: text as categories, all else as numbers or true and false."""
    import pandas as pd

    found = pd.api.types.infer_dtype(values, skipna=False)
    if found in ("boolean", "integer", "floating"):
        return values.to_numpy({"boolean": "bool", "integer": "int64", "floating": "float64"}[found])
    text = values.map(str)
    codes, classes = pd.factorize(text, sort=True)
    return pd.Categorical.from_codes(codes, pd.Index(list(classes), dtype=object))


def plain_text(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with its text as Python strings: anndata 0.12.6 cannot write the `str` of pandas 3."""
    import pandas as pd

    table = table.copy()
    for name, values in table.items():
        if isinstance(values.dtype, pd.CategoricalDtype):
            labels = values.cat.categories.astype(object)
            table[name] = pd.Categorical.from_codes(values.cat.codes, labels, ordered=values.cat.ordered)
        elif pd.api.types.is_string_dtype(values.dtype):
            table[name] = values.astype(object)
    table.index, table.columns = table.index.astype(object), table.columns.astype(object)
    return table
