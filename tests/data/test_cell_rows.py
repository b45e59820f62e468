"""Matrices of cells: what comes out of them, in memory and from disk, is what a dense table would give."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csc_array, csr_array

from mtl_cli.config.errors import UserError
from mtl_cli.data.cells.file import open_cells
from mtl_cli.data.cells.genes import most_variable
from mtl_cli.data.cells.matrix import CellMatrix, Transform
from mtl_cli.data.cells.rows import CPU, CSRRows, OnDisk, in_memory, put_together
from mtl_cli.data.cells.scan import scan
from tests.cells import make_cells, make_counts, write_h5ad

pytest.importorskip("anndata")
TRANSFORMS = {"none": lambda x: x, "log1p": np.log1p, "binarize": lambda x: (x > 0).astype("float32")}


def table(rows: int, genes: int, seed: int) -> np.ndarray:
    """Counts, with cells and genes that are all zero."""
    counts = np.random.default_rng(seed).poisson(0.3, (rows, genes)).astype("float32")
    counts[:: max(2, rows // 3)] = 0
    return counts


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 99), st.sampled_from(list(TRANSFORMS)), st.booleans())
def test_every_row_is_what_the_dense_table_has(
    rows: int, genes: int, seed: int, transform: Transform, dense: bool
) -> None:
    """Whatever the transform, the genes chosen and their order; in memory and read when asked for."""
    counts, random = table(rows, genes, seed), np.random.default_rng(seed)
    matrix = CellMatrix(counts if dense else csr_array(counts), counts.shape, "x")
    width = genes + 1  # one gene that the matrix lacks
    columns = np.where(random.random(genes) < 0.7, random.permutation(width)[:genes], -1).astype("int32")
    expected = np.zeros((rows, width), "float32")
    expected[:, columns[columns >= 0]] = TRANSFORMS[transform](counts[:, columns >= 0])
    entries = int((counts[:, columns >= 0] != 0).sum())
    held = CSRRows(in_memory(matrix, columns, width, entries, transform), np.arange(rows), width)
    disk = CSRRows(OnDisk(matrix, columns, width, transform), np.arange(rows), width)
    chosen = torch.from_numpy(random.permutation(rows)[: rows // 2 + 1])
    for found in (held, disk):
        np.testing.assert_allclose(found.take(slice(None)).numpy(), expected, rtol=1e-6)
        np.testing.assert_allclose(found.take(chosen).numpy(), expected[chosen.numpy()], rtol=1e-6)
        part = found.select(chosen.numpy())
        np.testing.assert_allclose(part.take(slice(1, 3)).numpy(), expected[chosen.numpy()][1:3], rtol=1e-6)
        assert part.store is found.store, "parts share one matrix"


def test_unsorted_doubled_and_stored_zeros_are_put_right() -> None:
    values, columns = np.array([3, 1, 0, 2, 5], "float64"), np.array([2, 0, 1, 1, 1], "int64")
    matrix = CellMatrix(csr_array((values, columns, [0, 3, 5]), shape=(2, 3)), (2, 3), "x")
    block = matrix.block(0, 2)
    assert block.toarray().tolist() == [[1, 0, 3], [0, 7, 0]]
    assert block.nnz == 3 and block.has_canonical_format and block.dtype == np.float32
    assert values.tolist() == [3, 1, 0, 2, 5], "the file's own array is left alone"


@pytest.mark.parametrize(
    ("values", "columns", "indptr", "message"),
    [
        ([1.0, 2.0], [0, 3], [0, 1, 2], "column number is not within 0 and 2"),
        ([1.0, 2.0], [0, 1], [0, 1, 5], "parts of its CSR matrix do not fit"),
        ([1.0, 2.0], [0, 1], [0, 2, 1], "parts of its CSR matrix do not fit"),
        (["a", "b"], [0, 1], [0, 1, 2], "not numbers"),
    ],
)
def test_a_damaged_matrix_is_refused(values: list, columns: list, indptr: list, message: str) -> None:
    class Parts:
        data, indices = np.array(values), np.array(columns)

    Parts.indptr = np.array(indptr)
    with pytest.raises(UserError, match=message):
        CellMatrix(Parts, (2, 3), "x").block(0, 2)


def test_blocks_cover_all_rows_and_stay_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_cli.data.cells.matrix.ENTRIES", 50)
    for source in (csr_array(table(97, 30, 1)), table(97, 30, 1)):
        matrix = CellMatrix(source, (97, 30), "x")
        blocks = list(matrix.blocks())
        assert [start for start, _ in blocks] == [0, *(stop for _, stop in blocks[:-1])] and blocks[-1][1] == 97
        assert max(matrix.block(*block).nnz for block in blocks) <= 50
        assert len(blocks) > 3


def test_rows_on_disk_train_in_the_order_of_those_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """And are read for several batches at once."""
    monkeypatch.setattr("mtl_cli.data.cells.rows.AHEAD", 3 * 64 * 30)
    source, numbers = csr_array(table(500, 30, 1)), np.random.default_rng(0).permutation(500)[:300]
    disk = OnDisk(CellMatrix(source, (500, 30), "x"), np.arange(30, dtype="int32"), 30, "none")
    reads: list[int] = []
    read = OnDisk._read
    monkeypatch.setattr(OnDisk, "_read", lambda self, rows: (reads.append(len(rows)), read(self, rows))[1])
    rows = CSRRows(disk, numbers, 30)
    order, expected = rows.order(64, 1, 3, CPU), CSRRows(source, numbers, 30).order(64, 1, 3, CPU)
    for _ in range(2):
        for mine, theirs in zip(order, expected, strict=True):
            assert mine.tolist() == theirs.tolist()
            assert rows.take(mine).numpy().tolist() == source[numbers[mine.numpy()]].toarray().tolist()
    assert reads == [192, 108, 192, 108]
    assert rows.take(slice(0, 5)).shape == (5, 30), "others are read by themselves"


@pytest.mark.parametrize("name", ["cpu", "cuda"])
def test_batches_are_the_same_on_another_device(name: str) -> None:
    """The pieces are put together there; the CPU can do it in the same way."""
    if name == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    counts, device = table(50, 20, 2), torch.device(name)
    found = put_together(csr_array(counts)[np.arange(49, -1, -1)], device)
    assert found.device.type == name and np.array_equal(found.cpu().numpy(), counts[::-1])
    rows = CSRRows(csr_array(counts), np.arange(50), 20).to(device)
    assert torch.equal(rows.take(torch.arange(49, -1, -1)), found)
    assert np.array_equal(rows.take(slice(None)).cpu().numpy(), counts)


@pytest.mark.parametrize("form", [csr_array, csc_array, np.asarray])
def test_a_file_gives_the_same_however_it_is_stored(form: type, tmp_path: Path) -> None:
    counts = table(40, 15, 3)
    path = write_h5ad(tmp_path / "x.h5ad", form(counts), make_cells(40))
    file = open_cells(str(path))
    assert file.matrix.block(3, 30).toarray().tolist() == counts[3:30].tolist()
    assert file.names.tolist()[:2] == ["cell0", "cell1"] and file.obs.index.tolist()[:2] == [0, 1]


def test_a_scan_finds_equal_cells_and_counts_genes(tmp_path: Path) -> None:
    counts = table(90, 15, 4)
    counts[[7, 40]] = counts[3]
    file = open_cells(str(write_h5ad(tmp_path / "x.h5ad", csr_array(counts), make_cells(90))))
    found = scan(file, "log1p")
    same = np.unique(counts, axis=0, return_inverse=True)[1]
    assert np.array_equal(found.cell_hashes[:, None] == found.cell_hashes[None], same[:, None] == same[None])
    assert np.array_equal(found.duplicate_groups[:, None] == found.duplicate_groups[None], same[:, None] == same[None])
    assert found.counts.tolist() == (counts > 0).sum(0).tolist() and found.whole and found.least == 0


@pytest.mark.slow
@pytest.mark.parametrize("logged", [True, False])
def test_variable_genes_are_scanpys(logged: bool) -> None:
    """The same genes as scanpy's own function, on the cells that train only."""
    scanpy = pytest.importorskip("scanpy")
    import anndata

    counts = make_counts(make_cells(300), genes=200).toarray() * np.random.default_rng(0).uniform(0.5, 9, 200)
    counts = counts.astype("float32")
    trained = np.random.default_rng(1).random(300) < 0.7
    stored = csr_array(np.log1p(counts) if logged else counts)
    found = most_variable(
        CellMatrix(stored, stored.shape, "x"), trained, np.arange(200), 40, "none" if logged else "log1p"
    )
    cells = anndata.AnnData(np.log1p(counts[trained]))
    told = scanpy.pp.highly_variable_genes(cells, n_top_genes=40, flavor="seurat", inplace=False)
    assert found.tolist() == np.flatnonzero(told["highly_variable"]).tolist()
