"""Image files: how they become bytes, which are read, what is kept of them, and how training images are changed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mtl_cli.config.errors import UserError
from mtl_cli.data.base import Prepared
from mtl_cli.data.batches import Batches
from mtl_cli.data.image_files import listing
from mtl_cli.data.image_files.augment import Augment
from mtl_cli.data.image_files.config import ImageFiles
from mtl_cli.data.image_files.pictures import Layout, decode, see
from mtl_cli.data.image_files.rows import ImageRows, StoredRows
from mtl_cli.data.image_files.stores import FromFiles, OnDisk
from mtl_cli.data.split import SplitConfig
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.multilabel import Multilabel
from tests.images import write_photos


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def prepared(folder: Path, lines: list[str] | None = None, **keys: Any) -> Prepared:
    tasks = {"species": Multiclass()}
    keys = {"path": str(folder / "photos/labels.csv"), "size": 24, **keys}
    return ImageFiles(**keys).prepare(tasks, (lines if lines is not None else []).append)


def test_bytes_stay_what_they_are(tmp_path: Path) -> None:
    grey = np.arange(48, dtype="uint8").reshape(6, 8)
    colour = np.stack([grey, grey + 50, grey + 100], -1)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    Image.fromarray(colour).save(tmp_path / "colour.tiff")
    assert decode(tmp_path / "grey.png", Layout(6, 8, 1, "stretch")).tolist() == grey[None].tolist()
    assert decode(tmp_path / "colour.tiff", Layout(6, 8, 3, "stretch")).tolist() == colour.transpose(2, 0, 1).tolist()
    assert see(tmp_path / "colour.tiff").colour
    assert not see(tmp_path / "grey.png").colour


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_sixteen_bits_are_windowed(tmp_path: Path, ending: str) -> None:
    deep = np.linspace(1000, 3000, 48).reshape(6, 8).round().astype("uint16")
    path = tmp_path / f"deep.{ending}"
    Image.fromarray(deep).save(path)
    found = decode(path, Layout(6, 8, 1, "stretch", (1000.0, 3000.0)))[0]
    np.testing.assert_allclose(found, (deep.astype(float) - 1000) / 2000 * 255, atol=0.51)
    window = see(path).window
    assert window is not None
    assert 1000 <= window[0] < 1100
    assert 2900 < window[1] <= 3000


def test_other_proportions(tmp_path: Path) -> None:
    wide = np.zeros((10, 30), "uint8")
    wide[:, 10:20] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    padded = decode(tmp_path / "wide.png", Layout(30, 30, 1, "pad"))[0]
    assert padded[:9].max() == padded[21:].max() == 0
    assert padded[15, 15] == 200
    assert decode(tmp_path / "wide.png", Layout(10, 10, 1, "crop"))[0].min() == 200
    stretched = decode(tmp_path / "wide.png", Layout(30, 30, 1, "stretch"))[0]
    assert stretched[0, 15] == stretched[29, 15] == 200
    assert stretched[15, 0] == 0


def test_transparency_is_black_and_photographs_stand_upright(tmp_path: Path) -> None:
    clear = np.full((4, 4, 4), 255, "uint8")
    clear[:, :2, 3] = 0
    Image.fromarray(clear).save(tmp_path / "clear.png")
    found = decode(tmp_path / "clear.png", Layout(4, 4, 1, "stretch"))[0]
    assert found[:, :2].max() == 0
    assert found[:, 2:].min() == 255
    turned = Image.fromarray(np.repeat([[0, 255]], 8, 0).repeat(8, 1).astype("uint8"))
    exif = turned.getexif()
    exif[0x0112] = 3  # lies upside down
    turned.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    assert decode(tmp_path / "turned.jpg", Layout(8, 16, 1, "stretch"))[0, :, 0].min() > 240


def test_a_table_of_images_with_groups_on_one_side(tmp_path: Path) -> None:
    table = write_photos(tmp_path)
    found = prepared(tmp_path, split=SplitConfig(group="patient"))
    assert found.reader.spec.shape == (1, 24, 24)
    assert sum(len(part) for part in found.parts.values()) == 60
    where = found.splits.merge(table, on="file").groupby("patient")["split"].nunique()
    assert (where == 1).all()
    part = found.parts["train"]
    names = part.ids.tolist()
    expected = decode(tmp_path / "photos" / names[0], Layout(24, 24, 1, "stretch"))
    assert part.inputs.take(slice(0, 1))[0].tolist() == expected.tolist()  # type: ignore[index]


def test_what_was_decoded_is_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SECONDS", 0.0)
    write_photos(tmp_path)
    lines: list[str] = []
    for expected in (1, 1):
        prepared(tmp_path, lines)
        assert sum("decoded" in line for line in lines) == expected
    Image.fromarray(np.zeros((30, 30), "uint8")).save(tmp_path / "photos/p000.png")
    prepared(tmp_path, lines)
    assert sum("decoded" in line for line in lines) == 2
    prepared(tmp_path, lines, cache="memory")
    assert sum("decoded" in line for line in lines) == 2


@pytest.mark.parametrize("cache", ["disk", "none"])
def test_images_that_are_not_in_memory_are_the_same(tmp_path: Path, cache: str) -> None:
    """In what is known of them, and in batches, changed at random or not, that are read ahead."""
    write_photos(tmp_path)
    keys = {"augment": Augment(shift=0.1, brightness=0.1), "split": SplitConfig(duplicates="drop")}
    held, other = prepared(tmp_path, cache="memory", **keys), prepared(tmp_path, cache=cache, workers=3, **keys)
    assert isinstance(other.parts["train"].inputs, StoredRows)
    assert held.reader.state() == other.reader.state()
    assert held.splits.equals(other.splits)
    every = [list(Batches(found.parts["train"], torch.device("cpu"), 8, seed=3)) for found in (held, other)]
    assert len(every[0]) == 6
    for first, second in zip(*every, strict=True):
        torch.testing.assert_close(first.inputs, second.inputs, rtol=0, atol=0)
        assert torch.equal(first.targets["species"], second.targets["species"])
    for chunk in other.parts["test"].inputs.chunks():
        assert torch.equal(other.parts["test"].inputs.take(chunk), held.parts["test"].inputs.take(chunk))  # type: ignore[arg-type]
    again = other.reader.read_own(lambda line: None)
    assert isinstance(again.inputs, StoredRows)


def test_batches_are_made_ahead_until_nobody_wants_them(tmp_path: Path) -> None:
    write_photos(tmp_path)
    part = prepared(tmp_path, cache="none", workers=2).parts["train"]
    batches = Batches(part, torch.device("cpu"), 4)
    before = threading.active_count()
    running = iter(batches)
    next(running)
    assert threading.active_count() > before
    running.close()
    assert threading.active_count() == before
    assert 0 < batches.waited < 10
    name = part.ids.iloc[7]
    (tmp_path / "photos" / name).write_text("no image")
    with pytest.raises(UserError, match=f"{name}: is not an image that can be decoded"):
        list(batches)


def test_where_images_are_goes_by_what_there_is_room_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_photos(tmp_path)
    lines: list[str] = []
    monkeypatch.setattr(listing, "free_memory", lambda: 4 * 60 * 24 * 24 + 4)
    assert isinstance(prepared(tmp_path, lines).parts["train"].inputs, ImageRows)
    monkeypatch.setattr(listing, "free_memory", lambda: 4 * 60 * 24 * 24)
    inputs = prepared(tmp_path, lines).parts["train"].inputs
    assert isinstance(inputs, StoredRows) and isinstance(inputs.store, OnDisk)
    assert "60 decoded images would take 33.8 KiB of memory: they are in" in lines[-1]
    inputs.store.file.write_bytes(inputs.store.file.read_bytes()[:20_000])
    with pytest.raises(UserError, match="was cut off while it was read"):
        inputs.take(slice(None))
    inputs.store.file.unlink()
    monkeypatch.setattr(listing, "free_disk", lambda folder: 60 * 24 * 24)
    inputs = prepared(tmp_path, lines).parts["train"].inputs
    assert isinstance(inputs, StoredRows) and isinstance(inputs.store, FromFiles)
    assert "each batch is decoded when it is due; dataset.cache=memory|disk|none" in lines[-1]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    write_photos(tmp_path)
    tasks = {"species": Multiclass(target="label")}
    source = ImageFiles(path=str(tmp_path / "by_species"))
    found = source.prepare(tasks, lambda line: None)
    assert found.tasks["species"].classes == ["ant", "bee", "cow"]  # type: ignore[attr-defined]
    assert found.parts["train"].ids.iloc[0].split("/")[0] == found.parts["train"].labels["species"].iloc[0]
    for part in ("train", "val", "test"):
        for species in ("ant", "bee", "cow"):
            folder = tmp_path / "parts" / part / species
            folder.mkdir(parents=True)
            for file in sorted((tmp_path / "by_species" / species).iterdir())[:4]:
                (folder / file.name).write_bytes(file.read_bytes())
    found = ImageFiles(path=str(tmp_path / "parts")).prepare(tasks, lambda line: None)
    assert {name: len(part) for name, part in found.parts.items()} == {"train": 12, "val": 12, "test": 12}
    assert all(name.startswith("val/") for name in found.parts["val"].ids)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("missing", r"labels.csv: an image that it names is not there, such as 'p003.png' in row 4; dataset.folder="),
        ("damaged", r"p003.png: is not an image that can be decoded: "),
        ("column", r"dataset.image: .*labels.csv has no column 'fil'; did you mean file\?"),
        ("blank", r"labels.csv: row 4 names no image in column 'file'"),
        ("sizes", r"dataset.size: the images are of 3 sizes, from 24 × 24 to 24 × 26; dataset.size=128"),
        ("loose", r"by_species: 'loose.png' lies in no folder of a class"),
        ("none", r"empty: holds no image; files must end in .png"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, fault: str, message: str) -> None:
    table = write_photos(tmp_path)
    keys: dict[str, Any] = {}
    if fault == "missing":
        (tmp_path / "photos/p003.png").unlink()
    elif fault == "damaged":
        (tmp_path / "photos/p003.png").write_bytes((tmp_path / "photos/p003.png").read_bytes()[:60])
    elif fault == "column":
        keys["image"] = "fil"
    elif fault == "blank":
        table.loc[3, "file"] = None
        table.to_csv(tmp_path / "photos/labels.csv", index=False)
    elif fault == "sizes":
        keys["size"] = None
    elif fault == "loose":
        keys["path"] = str(tmp_path / "by_species")
        (tmp_path / "by_species/loose.png").write_bytes((tmp_path / "photos/p003.png").read_bytes())
    else:
        (tmp_path / "empty").mkdir()
        keys["path"] = str(tmp_path / "empty")
    with pytest.raises(UserError, match=message) as caught:
        prepared(tmp_path, **keys)
    assert "\n" not in str(caught.value)


def test_new_images_are_read_as_those_of_training(tmp_path: Path) -> None:
    write_photos(tmp_path)
    found = prepared(tmp_path, size=20, fit="pad")
    source = ImageFiles(path=str(tmp_path / "photos/labels.csv"), size=20, fit="pad")
    reader = source.restore(found.reader.state())
    folder = reader.read(str(tmp_path / "photos/unseen"), lambda line: None)
    assert folder.ids.tolist() == ["u0.png", "u1.png", "u2.png", "u3.png"]
    one = reader.read(str(tmp_path / "photos/unseen/u2.png"), lambda line: None)
    torch.testing.assert_close(one.inputs.take(slice(0, 1)), folder.inputs.take(slice(2, 3)))
    (tmp_path / "new.csv").write_text("file,species\nphotos/p005.png,bee\n")
    table = reader.read(str(tmp_path / "new.csv"), lambda line: None)
    assert (table.ids.tolist(), table.table["species"].tolist()) == (["photos/p005.png"], ["bee"])
    again = reader.read_own(lambda line: None)
    assert len(again.inputs) == 60
    Image.fromarray(np.zeros((24, 24), "uint8")).save(tmp_path / "photos/p000.png")
    with pytest.raises(UserError, match="has changed since the run was made"):
        reader.read_own(lambda line: None)


def test_nothing_is_changed_unless_asked_for() -> None:
    images = torch.randint(0, 255, (5, 1, 12, 12), dtype=torch.uint8)
    rows = torch.tensor([3, 1])
    assert torch.equal(ImageRows(images, Augment()).take_next(rows), images[rows])
    gentle = Augment(shift=0.2, rotate=20, zoom=0.2, brightness=0.1, contrast=0.2, erase=0.1)
    still = ImageRows(images, gentle)
    assert torch.equal(still.take(rows), images[rows])
    changed = still.take_next(rows)
    assert changed.shape == (2, 1, 12, 12)
    assert not torch.equal(changed, images[rows].float())
    assert torch.equal(changed, still.take_next(rows))
    assert not torch.equal(changed, still.take_next(torch.tensor([1, 3])).flip(0))


def test_images_are_mirrored_only_if_that_is_said() -> None:
    images = torch.zeros(200, 1, 8, 8, dtype=torch.uint8)
    images[..., :2] = 200
    random = torch.Generator().manual_seed(0)
    turned = Augment(shift=0.1, rotate=15)(images, random)
    assert bool((turned[..., :4].sum((1, 2, 3)) > turned[..., 4:].sum((1, 2, 3))).all())
    mirrored = Augment(flip="horizontal")(images, random)
    left = (mirrored[..., :4].sum((1, 2, 3)) > mirrored[..., 4:].sum((1, 2, 3))).float().mean()
    assert 0.35 < float(left) < 0.65
    torch.testing.assert_close(mirrored.amax((1, 2, 3)), torch.full((200,), 200.0))
    down = Augment(flip="vertical")(images, random)
    torch.testing.assert_close(down, images.float())


def test_what_a_finding_without_an_answer_is() -> None:
    table = pd.DataFrame({"a": [1, -1, 0, 1, None], "b": [0, 1, 1, -1, -1], "c": [1, 0, 1, 0, None]})

    def values(**keys: Any) -> tuple[list[Any], list[bool]]:
        task = Multilabel(target=["a", "b", "c"], **keys).fit("t", table, np.arange(5))
        target = task.encode(task.labels(table))
        return target.values.tolist(), target.mask.tolist()

    found, mask = values(uncertain="missing", blank="missing")
    assert found == [[1, 0, 1], [-1, 1, 0], [0, 1, 1], [1, -1, 0], [0, 0, 0]]
    assert mask == [True] * 4 + [False]
    assert values(uncertain="positive", blank="negative")[0] == [[1, 0, 1], [1, 1, 0], [0, 1, 1], [1, 1, 0], [0, 1, 0]]
    assert values(uncertain="negative")[1] == [True] * 4 + [False]
    assert values(uncertain="missing")[1] == [True] * 4 + [False]
    with pytest.raises(UserError, match="'-1' in column 'a' is neither .*uncertain=missing, negative"):
        values()


def test_a_finding_without_an_answer_is_in_no_loss_and_no_metric() -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.choice([0, 1, -1], (60, 3)), columns=list("abc"))
    task = Multilabel(target=["a", "b", "c"], uncertain="missing", pos_weight="auto").fit("t", table, np.arange(60))
    target = task.encode(task.labels(table))
    values = target.values[target.mask]
    output = random.normal(size=values.shape).astype("float32")
    other = np.where(values < 0, 50.0, output).astype("float32")
    losses = [task.loss(torch.from_numpy(each), torch.from_numpy(values)) for each in (output, other)]
    torch.testing.assert_close(*losses)
    assert task.metrics(output, values) == pytest.approx(task.metrics(other, values))
    assert float(task.monitor(torch.from_numpy(other), torch.from_numpy(values))) == pytest.approx(
        task.metrics(output, values)["micro_f1"]
    )
    known = values >= 0
    assert target.weights is not None
    np.testing.assert_allclose(target.weights[target.mask], known.mean(1))
    assert task.by_class(output, values)["a"]["rows"] == (values[:, 0] == 1).sum()


def test_dicom_files_are_rescaled_and_bright_where_light_is(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid

    stored = np.arange(48, dtype="uint16").reshape(6, 8)
    for name, shown in (("plain", "MONOCHROME2"), ("inverse", "MONOCHROME1")):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, SecondaryCaptureImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        held = FileDataset(str(tmp_path / f"{name}.dcm"), {}, file_meta=meta, preamble=b"\0" * 128)
        held.Rows, held.Columns, held.SamplesPerPixel, held.PhotometricInterpretation = 6, 8, 1, shown
        held.BitsAllocated, held.BitsStored, held.HighBit, held.PixelRepresentation = 16, 16, 15, 0
        held.RescaleSlope, held.RescaleIntercept, held.PixelData = 2, -10, stored.tobytes()
        held.save_as(tmp_path / f"{name}.dcm")
    assert pydicom.dcmread(tmp_path / "plain.dcm").Rows == 6
    layout = Layout(6, 8, 1, "stretch", (-10.0, 84.0))
    plain = decode(tmp_path / "plain.dcm", layout)[0]
    np.testing.assert_allclose(plain, stored / 47 * 255, atol=0.51)
    inverse = decode(tmp_path / "inverse.dcm", Layout(6, 8, 1, "stretch", (0.0, 94.0)))[0]
    np.testing.assert_allclose(inverse, 255 - plain.astype(int), atol=1)
    (tmp_path / "damaged.dcm").write_bytes((tmp_path / "plain.dcm").read_bytes()[:300])
    with pytest.raises(UserError, match="damaged.dcm: is not a DICOM image that can be decoded"):
        decode(tmp_path / "damaged.dcm", layout)
