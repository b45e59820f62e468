"""Damaged files of every form but tables: each is one line, exit status 2."""

from __future__ import annotations

import random
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.data.cells.file import open_cells
from mtl_cli.data.images.files import read_images
from mtl_cli.data.sequences.fasta import read_fasta
from mtl_cli.data.sequences.reader import SequenceEncoder
from tests.cells import make_cells, make_counts, write_h5ad


def _codes(file: h5py.File) -> None:
    file["obs/level1/codes"][0] = 99


def _no_categories(file: h5py.File) -> None:
    del file["obs/level1/categories"]


def _unknown_form(file: h5py.File) -> None:
    file["obs/level1"].attrs["encoding-type"] = "of the future"


def _no_indices(file: h5py.File) -> None:
    del file["X/indices"]


def _no_table(file: h5py.File) -> None:
    del file["var"]
    file["var"] = 3


def _column_gone(file: h5py.File) -> None:
    file["obs"].attrs["column-order"] = ["zz"]


@pytest.mark.parametrize("damage", [_codes, _no_categories, _unknown_form, _no_indices, _no_table, _column_gone])
def test_a_damaged_h5ad_is_one_line(damage: Callable[[h5py.File], None], tmp_path: Path) -> None:
    labels = make_cells(30)
    path = write_h5ad(tmp_path / "c.h5ad", make_counts(labels), labels)
    assert len(open_cells(str(path)).obs) == 30
    with h5py.File(path, "r+") as file:
        damage(file)
    with pytest.raises(UserError, match="is damaged") as caught:
        open_cells(str(path))
    assert "\n" not in str(caught.value)


def test_an_h5ad_without_genes(tmp_path: Path) -> None:
    path = write_h5ad(tmp_path / "c.h5ad", np.zeros((30, 0), "float32"), make_cells(30), genes=[])
    with pytest.raises(UserError, match="holds no gene in X"):
        open_cells(str(path))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed, np.save])
def test_a_damaged_npz_is_one_line(save: Callable[..., None], tmp_path: Path) -> None:
    stream, draw, refused = BytesIO(), random.Random(0), 0
    if save is np.save:
        save(stream, np.zeros((6, 4, 4), "uint8"))
    else:
        save(stream, images=np.zeros((6, 4, 4), "uint8"), label=np.arange(6))
    path = tmp_path / ("t.npy" if save is np.save else "t.npz")
    for _ in range(200):
        data = bytearray(stream.getvalue())
        for _ in range(draw.choice([1, 8])):
            data[draw.randrange(min(len(data), 128))] = draw.randrange(256)
        path.write_bytes(data)
        try:
            read_images(str(path))
        except UserError as error:
            refused += "\n" not in str(error)
    assert refused > 50


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.npz", b"image,label\n1,2\n", "is text, no npz file; numpy.savez"),
        ("t.npy", b"image,label\n1,2\n", "is text, no npy file"),
        ("t.npz", b"", "the file is empty"),
        ("t.npz", b"\x93NUMPY\x01\x00", "is an npy file by its content, no npz file"),
        ("t.npz", b"PK\x05\x06" + bytes(18), "has no array 'images'; it has none"),
    ],
)
def test_what_is_no_npz_is_named_for_what_it_is(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        read_images(str(path))
    assert str(caught.value).startswith(f"{path}: {message}")


def test_an_npz_whose_header_lies_about_its_size(tmp_path: Path) -> None:
    path, stream = tmp_path / "t.npy", BytesIO()
    np.save(stream, np.zeros((6, 4, 4), "uint8"))
    for lie in (b"(9999999999999, 4, 4), }", b"(6, 4, 4, 5, 5), }", b"(-1, 4, 4), }"):
        data = stream.getvalue()
        place = data.index(b"(6, 4, 4)")
        path.write_bytes(data[:place] + lie + data[place + len(lie) :])
        with pytest.raises(UserError, match="cannot be read as npy"):
            read_images(str(path))


@pytest.mark.parametrize("gap", [" ", "\t", "\t ", "  "])
def test_a_blank_or_a_tab_ends_the_id_of_a_record(gap: str) -> None:
    table = read_fasta(f">P1{gap}family=kinase\nMKV\n>P2\nMK\n", "p.fasta", "id", "sequence")
    assert table["id"].tolist() == ["P1", "P2"] and table["family"].iloc[0] == "kinase"


def test_labels_may_have_a_character_for_the_stop(tmp_path: Path) -> None:
    table = pd.DataFrame({"s": ["MKVL*", "MKV", "mk*"], "ss": ["HHEE-", "HHE", "HE"]})
    rows = SequenceEncoder("s", None, None, False).encode(table, "p.csv")
    assert rows.align(table["ss"], pd.Series(range(3), name="row"), "ss").tolist() == ["HHEE", "HHE", "HE"]
    assert (
        rows.select(np.array([2, 0])).align(table["ss"].iloc[[2, 0]], pd.Series([2, 0], name="row"), "ss").iloc[1]
        == "HHEE"
    )
    table["ss"] = ["HHEE--", "HHE", "HE"]
    with pytest.raises(UserError, match=r"row 1 has 4 residues, without the closing \*, and 6 labels"):
        rows.align(table["ss"], pd.Series(range(3), name="row"), "ss")
    table["ss"] = ["HHEE", "HHE-", "HE"]
    with pytest.raises(UserError, match="row 2 has 3 residues and 4 labels"):
        rows.align(table["ss"], pd.Series(range(3), name="row"), "ss")
