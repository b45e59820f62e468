"""A file of cells, .h5ad or .zarr: opening it, its tables, its matrix by rows; and a copy with more columns."""

from __future__ import annotations

import importlib.util
import shutil
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from mtl_cli.config.convert import Bound
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.data.cells.genes import GeneConfig
from mtl_cli.data.cells.matrix import DAMAGE, CellMatrix, SideBySide, Transform, reason
from mtl_cli.data.files import STDIN, resolve
from mtl_cli.data.tables.reading import stripped
from mtl_cli.io import user_path

if TYPE_CHECKING:
    import h5py
    import pandas as pd

EXTRA = "pip install 'mtl-cli[singlecell]'"
STORE = ".zarr"


@dataclass(frozen=True)
class CellFile:
    """A file of cells: .h5ad, or a .zarr store.

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
    opened : h5py.File, optional
        What the matrix is read from, where that is to be closed.
    others : tuple of CellFile
        The same file, opened for further layers.
    """

    path: str
    obs: pd.DataFrame
    names: pd.Series
    var: pd.DataFrame
    matrix: CellMatrix
    remedies: list[str]
    opened: h5py.File | None
    others: tuple[CellFile, ...] = ()

    def close(self) -> None:
        """Close the file; no more of the matrix can be read then. A store is a folder, which is not held open."""
        for file in (self, *self.others):
            if file.opened is not None:
                file.opened.close()


@dataclass(frozen=True, kw_only=True)
class CellFormat:
    """The keys that say what is read of a file of cells, of the one to train on and of those to predict.

    Parameters
    ----------
    path : str
        An .h5ad file or a .zarr store, or ``scanpy:NAME`` for a file that comes with scanpy.
    layer : str or list of str, optional
        Read this layer in place of X. Of several, each gene of each of them is an input, called ``LAYER:GENE``; ``X``
        is X itself.
    use_raw : bool
        Read ``raw`` in place of X.
    backed : bool
        Leave the values on disk and read those of each batch.
    transform : {"none", "log1p", "binarize"}
        What the network reads of a value x: x, log(1 + x), or whether x > 0.
    genes : GeneConfig
    min_overlap : float
        The share of the model's genes that a file to predict must have, or one to train on from another run's trunk.
    id : str, optional
        The column of ``obs`` that names the cells; its index where None.
    """

    path: str
    layer: str | list[str] | None = None
    use_raw: bool = False
    backed: bool = False
    transform: Transform = "log1p"
    genes: GeneConfig = field(default_factory=GeneConfig)
    min_overlap: Annotated[float, Bound(at_least=0, at_most=1)] = 0.5
    id: str | None = None

    reading_keys: ClassVar[tuple[str, ...]] = (
        "layer", "use_raw", "backed", "transform", "min_overlap", "id", "genes.names",
    )  # fmt: skip

    def open(self, path: str) -> CellFile:
        """Open a file as this one is to be read."""
        if isinstance(self.layer, list):
            return side_by_side(path, self.layer, self.genes.names, self.backed)
        return open_cells(path, self.layer, self.use_raw, self.backed)

    def names(self, file: CellFile) -> pd.Series:
        """Return what names the cells of a file: the column ``id`` if the file has it, else its own names."""
        return file.names if self.id is None or self.id not in file.obs.columns else stripped(file.obs[self.id])


def missing_extra() -> str | None:
    """Return what is missing to read .h5ad files, or None. It does not import it."""
    missing = [name for name in ("anndata", "h5py") if importlib.util.find_spec(name) is None]
    return missing[0] if missing else None


def is_store(path: str) -> bool:
    """Return whether a path is that of a .zarr store, which is a folder."""
    return path.rstrip("/").lower().endswith(STORE)


def located(path: str) -> Path:
    """Return where a file of cells is. Raises UserError if there is none."""
    folder = user_path(path)
    return folder if is_store(path) and folder.is_dir() else resolve(path)


def open_cells(path: str, layer: str | None = None, use_raw: bool = False, backed: bool = False) -> CellFile:
    """Open a file of cells.

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
        If it is none, is damaged, holds no such matrix, or anndata is not installed.
    """
    if path == STDIN:
        raise UserError("stdin", "an .h5ad file cannot come through a pipe", "give its name")
    if missing_extra():
        raise UserError(path, f"reading .h5ad files needs {missing_extra()}", EXTRA)
    try:
        return _open_cells(path, layer, use_raw, backed)
    except DAMAGE as error:
        raise UserError(path, f"is damaged: {reason(error)}", "copy or fetch it again") from error


def side_by_side(path: str, layers: list[str], names: str | None, backed: bool) -> CellFile:
    """Open a file of cells for several of its layers: a gene of each layer is a gene, called ``LAYER:GENE``.

    Parameters
    ----------
    path : str
    layers : list of str
    names : str, optional
        The column of ``var`` that names the genes.
    backed : bool
        As ``open_cells`` takes it.
    """
    import pandas as pd

    files = [open_cells(path, layer, backed=backed) for layer in layers]
    tables = []
    for layer, file in zip(layers, files, strict=True):
        var = file.var.set_axis(layer + ":" + file.var.index.astype(str).astype(object))
        if names is not None and names in var.columns:
            var = var.assign(**{names: layer + ":" + var[names].astype(str).astype(object)})
        tables.append(var)
    matrix = SideBySide([file.matrix for file in files], f"{path}: layers {', '.join(layers)}")
    remedies = [one for one in files[0].remedies if not one.startswith("dataset.layer=")]
    return replace(files[0], var=pd.concat(tables), matrix=matrix, remedies=remedies, others=tuple(files[1:]))


def _open_cells(path: str, layer: str | None, use_raw: bool, backed: bool) -> CellFile:
    import pandas as pd

    file, legacy = (open_store(path), False) if is_store(path) else open_file(path)
    found: Any = file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # anndata tells of each part that it moves on the way from an old format
        if legacy:
            import anndata

            found = anndata.read_h5ad(resolve(path))
        source, var_source, name = _choose(found, path, layer, use_raw)
        obs, var = _table(found.obs if legacy else file["obs"]), _table(var_source)
        if legacy and backed:
            hint = "anndata.read_h5ad(…).write_h5ad(…) rewrites it"
            raise UserError(path, "is of the format before anndata 0.7, which cannot be read row by row", hint)
        held = None if use_raw else "adata.X" if layer is None else f"adata.layers['{layer}']"
        source = _by_rows(source, f"{path}: {name}", backed, held)
    if obs.empty and not len(obs):
        raise UserError(path, "holds no cell")
    if not len(var):
        raise UserError(path, f"holds no gene in {name}")
    matrix = CellMatrix(source, (len(obs), len(var)), f"{path}: {name}")
    if matrix.indptr is None and tuple(matrix.values.shape) != matrix.shape:
        raise UserError(path, f"is damaged: {name} is of shape {matrix.values.shape}, not {matrix.shape}")
    remedies = [f"dataset.layer={other}" for other in _layers(found) if other != layer]
    remedies += ["dataset.use_raw=true"] * (not use_raw and _raw(found) is not None)
    names = pd.Series(obs.index.astype("str").array, name="cell")
    opened = None if is_store(path) else file
    return CellFile(path, obs.reset_index(drop=True), names, var, matrix, remedies, opened)


def open_store(path: str) -> Any:
    """Open a .zarr store to be read: a zarr group, of which anndata and what is here read as of an HDF5 one.

    Raises
    ------
    UserError
        If it is none.
    """
    import zarr

    folder = located(path)
    try:
        opened = zarr.open_group(str(folder), mode="r")
    except DAMAGE as error:
        raise UserError(
            path, "is not a .zarr store", "a .zarr store is the folder that AnnData.write_zarr writes"
        ) from error
    if "obs" not in opened or "var" not in opened:
        raise UserError(
            path, "is a zarr store without obs and var, not one of anndata's", "AnnData.write_zarr writes it"
        )
    return opened


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
        raise UserError(path, "is not an .h5ad file", "an .h5ad file is what AnnData.write_h5ad writes")
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

    try:
        table = anndata.io.read_elem(source)
    except Exception as error:  # what anndata raises of forms that it does not know has no public name
        raise ValueError(reason(error)) from error
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"{source.name} is not a table")
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
    names = _layers(found)
    if layer is not None and (layer != "X" or "X" in names):
        if layer not in names:
            hint = did_you_mean(layer, names) if names else "it has none; layer: null reads X"
            raise UserError("dataset.layer", f"{path} has no layer '{layer}'", hint)
        return (found.layers if held else found["layers"])[layer], var, f"layer {layer}"
    x = found.X if held else found.get("X")
    if x is None:
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
            hint = f"{held} = {held}.tocsr(), and it is written by rows; or {hint}"
        raise UserError(where, "is stored by columns (CSC) and cannot be read row by row", hint)
    import anndata

    return anndata.io.read_elem(source).tocsr()


def copy_with_columns(source: str, target: Path, columns: pd.DataFrame) -> None:
    """Copy the cells of ``source`` to an .h5ad file and put ``columns`` into its ``obs``.

    An .h5ad file is copied byte by byte, and only ``obs`` is touched then: X and all else stay as they are, sparse what
    is sparse, and nothing of it is held in memory. A file of the format before anndata 0.7 has no place for columns; it
    and a .zarr store are read and written anew. A column that already exists is replaced.

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

    anew = is_store(source)
    if not anew:
        file, anew = open_file(source)
        file.close()
    if anew:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            where = located(source)
            cells = anndata.read_zarr(where) if is_store(source) else anndata.read_h5ad(where)
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
