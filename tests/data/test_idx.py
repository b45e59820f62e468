"""Reading idx files, and images from files: every number back, and each way of being wrong in one line."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mtl_cli.config.errors import UserError
from mtl_cli.data.duplicates import equal_arrays
from mtl_cli.data.images.config import Idx, MultiMNIST, overlay, pair
from mtl_cli.data.images.files import data_home, read_images
from mtl_cli.data.images.idx import parse_idx, read_idx
from mtl_cli.data.images.reader import fit_spec
from mtl_cli.io import DamagedFile, unpack
from tests.images import CODES, bars, idx_bytes, write_idx

SHAPES = st.lists(st.integers(0, 4), min_size=1, max_size=4).map(tuple)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sampled_from(sorted(CODES)).flatmap(lambda name: arrays(name, SHAPES)), st.booleans())
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, zipped: bool) -> None:
    file = tmp_path_factory.mktemp("idx") / "some"
    file.write_bytes(gzip.compress(idx_bytes(array)) if zipped else idx_bytes(array))
    found = read_idx(file)
    assert found.shape == array.shape
    assert np.array_equal(found, array, equal_nan=array.dtype.kind == "f")


GOOD = idx_bytes(np.arange(12, dtype="uint8").reshape(3, 2, 2))
WRONG = {
    "empty": (b"", "is not an idx file: it begins with 0x; images begin with 0x00000803"),
    "another magic": (b"\x89PNG\r\n\x1a\n", "is not an idx file: it begins with 0x89504e47"),
    "an unknown type": (b"\0\0\x07\x01\0\0\0\0", "is not an idx file: it begins with 0x00000701"),
    "a cut header": (GOOD[:10], "is cut off: 10 bytes, shorter than its header"),
    "too short": (GOOD[:-1], "states 3 × 2 × 2 numbers, 12 bytes, but holds 11"),
    "too long": (GOOD + b"\0", "states 3 × 2 × 2 numbers, 12 bytes, but holds 13"),
    "a truncated gz": (gzip.compress(GOOD)[:-9], "is cut off: the gzip stream has no end; copy or fetch the file"),
    "a damaged gz": (gzip.compress(GOOD)[:-8] + bytes(8), "is a damaged gzip file: CRC check failed"),
}


@pytest.mark.parametrize(("data", "what"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(tmp_path: Path, data: bytes, what: str) -> None:
    file = tmp_path / "images"
    file.write_bytes(data)
    with pytest.raises(UserError, match="images: ") as error:
        read_idx(file)
    assert str(error.value).startswith(f"{file}: {what}")


def test_no_more_is_unpacked_than_a_file_may_hold(tmp_path: Path) -> None:
    """A small gzip file can hold much: here 64 MB of zeros in 65 kB, behind a header that states 12 bytes."""
    file = tmp_path / "images"
    file.write_bytes(gzip.compress(GOOD[:16] + bytes(2**26)))
    tracemalloc.start()
    with pytest.raises(UserError) as error:
        read_idx(file)
    assert str(error.value) == f"{file}: is longer than it must be: more than 28 bytes once unpacked"
    with pytest.raises(DamagedFile, match="more than 1000 bytes once unpacked"):
        unpack(file.read_bytes(), 1000)
    assert tracemalloc.get_traced_memory()[1] < 2**22
    tracemalloc.stop()
    packed = gzip.compress(GOOD)
    assert unpack(packed, len(GOOD)) == unpack(packed + packed, 2 * len(GOOD))[: len(GOOD)] == GOOD


def test_parse_needs_no_file() -> None:
    assert parse_idx(GOOD, "here").tolist() == np.arange(12).reshape(3, 2, 2).tolist()


def test_labels_lie_beside_images(tmp_path: Path) -> None:
    images, labels = bars(10, 3, 0)
    write_idx(tmp_path, (images, labels), (images, labels))
    found, table, _ = read_images(str(tmp_path / "train-images-idx3-ubyte.gz"))
    assert found.shape == (10, 1, 12, 12)
    assert np.array_equal(found[:, 0], images)
    assert table["label"].tolist() == labels.tolist()
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    assert read_images(str(tmp_path / "train-images-idx3-ubyte.gz"))[1].shape == (10, 0)


def test_numpy_files(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (5, 8, 9, 3)).astype("uint8")
    np.savez(tmp_path / "some.npz", images=colours, species=np.arange(5))
    found, table, _ = read_images(str(tmp_path / "some.npz"))
    assert found.shape == (5, 3, 8, 9), "channels come first"
    assert np.array_equal(found[:, 1], colours[..., 1])
    assert table["species"].tolist() == [0, 1, 2, 3, 4]
    np.save(tmp_path / "some.npy", colours[..., 0])
    assert read_images(str(tmp_path / "some.npy"))[0].shape == (5, 1, 8, 9)


def test_a_dot_where_some_copies_have_one(tmp_path: Path) -> None:
    images, labels = bars(30, 3, 0)
    (tmp_path / "train-images.idx3-ubyte").write_bytes(idx_bytes(images))
    (tmp_path / "train-labels.idx1-ubyte").write_bytes(idx_bytes(labels))
    loaded = Idx(root=str(tmp_path), test_images=None, test_labels=None).load()
    assert len(loaded.images) == 30
    assert loaded.parts is None


def test_the_folder_of_fetched_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MTL_DATA_ROOT", str(tmp_path))
    assert data_home() == tmp_path
    assert Idx(name="mnist").folders() == [tmp_path / "mnist", tmp_path]
    monkeypatch.delenv("MTL_DATA_ROOT")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert data_home() == Path("/somewhere/mtl")


def test_mean_and_deviation_of_the_rows() -> None:
    images = np.random.default_rng(0).integers(0, 256, (50, 2, 6, 6)).astype("uint8")
    images[:, 1] = 7
    rows = np.arange(0, 50, 2)
    spec = fit_spec(images, rows)
    assert spec.shape == (2, 6, 6)
    assert spec.center == pytest.approx([images[rows, 0].mean(), 7.0])
    assert spec.scale == pytest.approx([images[rows, 0].std(), 1.0])


def test_images_that_are_the_same() -> None:
    images = np.zeros((4, 1, 3, 3), dtype="uint8")
    images[2, 0, 1, 1] = 1
    groups = equal_arrays(images)
    assert groups[0] == groups[1] == groups[3] != groups[2]


def test_two_digits_one_over_the_other() -> None:
    parts = np.repeat(["train", "val", "test"], [20, 7, 5])
    partner = pair(parts, seed=3)
    assert np.array_equal(np.sort(partner), np.arange(32)), "each is once on the right"
    assert (parts[partner] == parts).all(), "and stays in its part"
    assert (partner != np.arange(32)).all()
    assert np.array_equal(partner, pair(parts, seed=3))
    assert not np.array_equal(partner, pair(parts, seed=4))
    images = np.random.default_rng(0).integers(0, 256, (32, 1, 28, 28)).astype("uint8")
    found = overlay(images, partner)
    assert found.shape == (32, 1, 36, 36)
    assert np.array_equal(found[:, :, :8, :28], images[:, :, :8])
    assert np.array_equal(found[:, :, 28:, 8:], images[partner][:, :, 20:])
    middle = np.maximum(images[:, :, 8:, 8:], images[partner][:, :, :20, :20])
    assert np.array_equal(found[:, :, 8:28, 8:28], middle)
    assert not found[:, :, :8, 28:].any()


def test_multi_mnist_labels_are_those_of_its_digits(tmp_path: Path) -> None:
    images, labels = bars(60, 3, 0, side=28)
    write_idx(tmp_path / "mnist", (images, labels), (images[:20], labels[:20]))
    loaded = MultiMNIST(root=str(tmp_path)).load()
    assert loaded.images.shape == (80, 1, 36, 36)
    assert dict(zip(*np.unique(loaded.parts, return_counts=True), strict=True)) == {"test": 20, "train": 52, "val": 8}
    assert loaded.labels["left"].tolist() == [*labels, *labels[:20]]
    for part in ("train", "val", "test"):
        own = loaded.labels[loaded.parts == part]
        assert sorted(own["left"]) == sorted(own["right"])
