"""Opening an .h5ad file: its tables at once, its matrix only when rows of it are asked for."""

from __future__ import annotations

import importlib.util
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.cells.matrix import CellMatrix
from mtl_cli.data.files import STDIN, resolve

if TYPE_CHECKING:
    import h5py
    import pandas as pd

EXTRA = "pip install 'mtl-cli[singlecell]'"


@dataclass(frozen=True)
class CellFile:
    """An .h5ad file.

    Parameters
    ----------
    path : str
    obs : DataFrame
        A row per cell, numbered from 0.
    names : Series
        The cells' names, called ``cell``.
    var : DataFrame
        A row per gene of the matrix; the index is their names.
    matrix : CellMatrix
    remedies : list of str
        The settings that read another of the file's matrices, for messages.
    opened : h5py.File
        What the matrix is read from.
    """

    path: str
    obs: pd.DataFrame
    names: pd.Series
    var: pd.DataFrame
    matrix: CellMatrix
    remedies: list[str]
    opened: h5py.File

    def close(self) -> None:
        """Close the file; no more of the matrix can be read then."""
        self.opened.close()


def missing_extra() -> str | None:
    """Return what is missing to read .h5ad files, or None. It does not import it."""
    missing = [name for name in ("anndata", "h5py") if importlib.util.find_spec(name) is None]
    return missing[0] if missing else None


def open_cells(path: str, layer: str | None = None, use_raw: bool = False, backed: bool = False) -> CellFile:
    """Open an .h5ad file.

    Parameters
    ----------
    path : str
    layer : str, optional
        Read this layer in place of X.
    use_raw : bool, default False
        Read ``raw`` in place of X.
    backed : bool, default False
        Refuse a matrix that cannot be read row by row from disk.

    Raises
    ------
    UserError
        If it is none, holds no such matrix, or anndata is not installed.
    """
    import pandas as pd

    if path == STDIN:
        raise UserError("stdin", "an .h5ad file cannot come through a pipe", "give its name")
    if missing_extra():
        raise UserError(path, f"reading .h5ad files needs {missing_extra()}", EXTRA)
    file, legacy = open_file(path)
    found: Any = file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata tells of each part that it moves on the way from an old format
        if legacy:
            import anndata

            found = anndata.read_h5ad(resolve(path))
        source, var_source, name = _choose(found, path, layer, use_raw)
        obs, var = _table(found.obs if legacy else file["obs"]), _table(var_source)
        if legacy and backed:
            hint = "anndata.read_h5ad(…).write_h5ad(…) writes it anew"
            raise UserError(path, "is of the format before anndata 0.7, which cannot be read row by row", hint)
        held = None if use_raw else "adata.X" if layer is None else f"adata.layers['{layer}']"
        source = _by_rows(source, f"{path}: {name}", backed, held)
    if obs.empty and not len(obs):
        raise UserError(path, "holds no cell")
    matrix = CellMatrix(source, (len(obs), len(var)), f"{path}: {name}")
    if matrix.indptr is None and tuple(matrix.values.shape) != matrix.shape:
        raise UserError(path, f"is damaged: {name} is of shape {matrix.values.shape}, not {matrix.shape}")
    remedies = [f"dataset.layer={other}" for other in _layers(found) if other != layer]
    remedies += ["dataset.use_raw=true"] * (not use_raw and _raw(found) is not None)
    names = pd.Series(obs.index.astype("str").array, name="cell")
    return CellFile(path, obs.reset_index(drop=True), names, var, matrix, remedies, file)


def open_file(path: str) -> tuple[h5py.File, bool]:
    """Open an .h5ad file to be read, and tell whether it is of the format before anndata 0.7, which only that reads.

    Raises
    ------
    UserError
        If it is none.
    """
    import h5py

    file = resolve(path)
    if not h5py.is_hdf5(file):
        raise UserError(path, "is no .h5ad file", "an .h5ad file is what AnnData.write_h5ad writes")
    try:
        opened = h5py.File(file, "r")
    except OSError as error:
        raise UserError(path, f"cannot be read: {error}") from error
    if "obs" not in opened or "var" not in opened:
        opened.close()
        raise UserError(
            path, "is an HDF5 file without obs and var, not one of anndata's", "AnnData.write_h5ad writes it"
        )
    return opened, isinstance(opened["obs"], h5py.Dataset) or "raw.X" in opened


def _table(source: Any) -> pd.DataFrame:
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    import anndata

    table = anndata.io.read_elem(source)
    assert isinstance(table, pd.DataFrame)
    return table


def _layers(found: Any) -> list[str]:
    layers = found.layers if hasattr(found, "layers") else found.get("layers", {})
    return [str(name) for name in layers]


def _raw(found: Any) -> Any:
    return found.raw if hasattr(found, "layers") else found.get("raw")


def _choose(found: Any, path: str, layer: str | None, use_raw: bool) -> tuple[Any, Any, str]:
    """Return a matrix, the table of its genes, and its name."""
    held = hasattr(found, "layers")
    if use_raw:
        raw = _raw(found)
        if raw is None:
            raise UserError("dataset.use_raw", f"{path} has no raw")
        return (raw.X, raw.var, "raw") if held else (raw["X"], raw["var"], "raw")
    var = found.var if held else found["var"]
    if layer is not None:
        names = _layers(found)
        if layer not in names:
            hint = did_you_mean(layer, names) if names else "it has none; layer: null reads X"
            raise UserError("dataset.layer", f"{path} has no layer '{layer}'", hint)
        return (found.layers if held else found["layers"])[layer], var, f"layer {layer}"
    x = found.X if held else found.get("X")
    if x is None:
        names = _layers(found)
        hint = f"dataset.layer={names[0]}" if names else None
        raise UserError(path, "has no X", hint)
    return x, var, "X"


def _by_rows(source: Any, where: str, backed: bool, held: str | None) -> Any:
    """Return a matrix that can be read row by row: one that is stored by columns is read whole and turned.

    ``held`` is how anndata spells it, None where that cannot be set.
    """
    from scipy import sparse

    if sparse.issparse(source):
        return source.tocsr()
    form = (
        source.attrs.get("encoding-type", source.attrs.get("h5sparse_format", "")) if hasattr(source, "attrs") else ""
    )
    if not str(form).startswith("csc"):
        return source
    if backed:
        hint = "dataset.backed=false"
        if held is not None:
            hint = f"{held} = {held}.tocsr() and write_h5ad write it by rows; or {hint}"
        raise UserError(where, "is stored by columns (CSC) and cannot be read row by row", hint)
    import anndata

    return anndata.io.read_elem(source).tocsr()
