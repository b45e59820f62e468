"""Images by the command: they are learnt, predicted and measured again, and what is wrong is said in one line."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.conftest import InProcess
from tests.images import bars, idx_bytes, write_both, write_idx

SMALL = ["model.trunk.channels=[8]", "model.trunk.kernel=3", "model.trunk.hidden=[16]", "plots=false"]


@pytest.fixture(autouse=True)
def no_data_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only what a test writes is there."""
    monkeypatch.delenv("MTL_DATA_ROOT", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def train(mtl: InProcess, *arguments: str) -> tuple[dict, Path]:
    status, out, err = mtl("train", *arguments)
    assert status == 0, err
    line = json.loads(out)
    return line["metrics"], Path(line["run_dir"])


@pytest.mark.parametrize(
    ("model", "least"),
    [("mlp", 0.93), ("cnn", 0.95), ("resnet", 0.93)],
)
def test_digits_are_learnt(mtl: InProcess, model: str, least: float) -> None:
    small = {"cnn": ["model.trunk.kernel=3"], "resnet": ["model.trunk.channels=[8,16]"]}.get(model, [])
    metrics, run = train(
        mtl, "dataset=digits", f"model={model}", "trainer.epochs=10", "optimizer.lr=3e-3", "plots=false", *small
    )
    assert all(metrics[task]["rows"] == 360 for task in ("digit", "parity", "at_least_5"))
    assert metrics["digit"]["accuracy"] >= least
    assert min(metrics[task]["accuracy"] for task in ("parity", "at_least_5")) >= least - 0.05
    predicted = pd.read_csv(run / "predictions.csv")
    assert set(predicted["parity"]) == {"odd", "even"}
    assert ((predicted["digit"] % 2 == 1) == (predicted["parity"] == "odd")).all()
    assert ((predicted["digit"] >= 5) == predicted["at_least_5"]).all()
    _, out, _ = mtl("evaluate", str(run))
    assert json.loads(out)["tasks"]["digit"]["accuracy"] == metrics["digit"]["accuracy"]


def test_own_idx_files_from_training_to_prediction(mtl: InProcess) -> None:
    test = bars(60, 3, 1)
    write_idx(Path("own"), bars(300, 3, 0), test)
    metrics, run = train(
        mtl, "dataset=idx", "dataset.root=own", "tasks={label: multiclass}", "model=cnn", "trainer.epochs=6", *SMALL
    )
    assert metrics["label"]["rows"] == 60, "those of the test files"
    assert metrics["label"]["accuracy"] > 0.95
    splits = pd.read_csv(run / "splits.csv")
    assert (splits["split"][300:] == "test").all()
    assert (splits["split"][:300] == "val").sum() == 36, "a tenth of all rows"
    kept = pd.read_csv(run / "predictions.csv")

    _, out, _ = mtl("predict", str(run), "own/t10k-images-idx3-ubyte")
    found = pd.read_csv(io.StringIO(out))
    assert found["row"].tolist() == list(range(60))
    assert found["predicted_label"].tolist() == kept["predicted_label"].tolist()
    assert np.allclose(found["predicted_label_prob"], kept["predicted_label_prob"], atol=1e-5)
    _, out, _ = mtl("evaluate", str(run), "own/t10k-images-idx3-ubyte")
    assert json.loads(out)["tasks"]["label"]["accuracy"] == metrics["label"]["accuracy"]

    np.savez("some.npz", images=test[0], label=test[1])
    _, out, _ = mtl("evaluate", str(run), "some.npz")
    assert json.loads(out)["tasks"]["label"]["accuracy"] == metrics["label"]["accuracy"]
    np.save("some.npy", test[0][:5])
    _, out, _ = mtl("predict", str(run), "some.npy", "--format", "jsonl")
    assert len(out.splitlines()) == 5
    status, _, err = mtl("predict", str(run), "own/t10k-labels-idx1-ubyte.gz")
    assert status == 2
    assert "holds an array of 60, not images" in err


def test_the_images_are_kept_as_bytes_and_the_model_knows_how_to_read_them(mtl: InProcess) -> None:
    import torch

    from mtl_cli.data.images.config import Npz

    images, labels = bars(200, 3, 0)
    np.savez("own.npz", images=np.repeat(images[..., None], 3, axis=3), label=labels)
    _, run = train(mtl, "dataset=own.npz", "tasks={label: multiclass}", "model=cnn", "trainer.epochs=1", *SMALL)
    spec = torch.load(run / "mtl_model.pt", weights_only=True)["data"]["reader"]["spec"]
    assert spec["shape"] == (3, 12, 12)
    rows = pd.read_csv(run / "splits.csv")["split"] == "train"
    assert spec["center"] == pytest.approx([images[rows].mean()] * 3)
    loaded = Npz(path="own.npz").load()
    assert loaded.images.dtype == np.uint8


def test_labels_of_images_may_be_text_numbers_or_true_and_false(mtl: InProcess) -> None:
    images, labels = bars(200, 3, 0)
    usable = {"species": np.array(["ant", "bee", "cat"])[labels], "age": labels + 0.5, "small": labels == 0}
    odd = {"boxes": np.zeros((200, 4)), "few": labels[:9], "objects": np.array([{}] * 200)}
    np.savez("own.npz", images=images, **usable, **odd)
    tasks = "{species: multiclass, age: regression, small: binary}"
    metrics, run = train(mtl, "dataset=own.npz", f"tasks={tasks}", "model=cnn", "trainer.epochs=8", *SMALL)
    assert metrics["species"]["accuracy"] > 0.9
    assert metrics["age"]["r2"] > 0.5
    predicted = pd.read_csv(run / "predictions.csv")
    assert set(predicted["predicted_species"]) == {"ant", "bee", "cat"}
    assert set(predicted["age"]) == {0.5, 1.5, 2.5}
    assert json.loads(mtl("evaluate", str(run))[1])["tasks"]["species"]["accuracy"] == metrics["species"]["accuracy"]

    wrong = "{a: {kind: regression, target: boxes}, few: multiclass, objects: multiclass}"
    status, _, err = mtl("train", "dataset=own.npz", f"tasks={wrong}", "model=cnn", *SMALL)
    assert status == 2
    assert "tasks.a.target: 'boxes' of own.npz is an array of 2 dimensions, not one label per image" in err
    assert "tasks.few.target: 'few' of own.npz has 9 labels for 200 images" in err
    assert "tasks.objects.target: 'objects' of own.npz holds Python objects, not text, numbers or true and false" in err
    _, _, err = mtl("train", "dataset=own.npz", "tasks={speces: multiclass}", "model=cnn", *SMALL)
    assert "there is no column 'speces'; did you mean species?" in err

    np.savez("more.npz", images=images, species=odd["objects"], age=usable["age"])
    assert mtl("predict", str(run), "more.npz")[0] == 0
    status, _, err = mtl("evaluate", str(run), "more.npz")
    assert status == 2
    assert "task species: 'species' of more.npz holds Python objects" in err


def test_a_picture_of_the_images_that_are_most_wrong(mtl: InProcess) -> None:
    write_both(Path("data"))
    run = ["dataset=mnist_fashion", "dataset.root=data", "model=cnn", "trainer.epochs=1", *SMALL, "plots=true"]
    _, folder = train(mtl, *run)
    for task in ("digit", "garment"):
        assert (folder / "plots" / f"images_{task}.png").stat().st_size > 5000


def test_repeated_images_are_reported(mtl: InProcess) -> None:
    images, labels = bars(100, 3, 0)
    write_idx(Path("own"), (images, labels), (images[:10], labels[:10]))
    run = ["dataset=idx", "dataset.root=own", "tasks={label: multiclass}", "model=cnn", "trainer.epochs=1", *SMALL]
    status, out, err = mtl("train", *run)
    assert status == 0
    assert "note: 10 of 10 test rows and 0 of 11 validation rows repeat the features of rows trained on" in err
    assert (
        json.loads((Path(json.loads(out)["run_dir"]) / "metrics.json").read_text())["splits"]["test_unseen"]["rows"]
        == 0
    )


def test_multi_mnist_from_its_digits(mtl: InProcess) -> None:
    write_idx(Path("data/mnist"), bars(500, 3, 0, side=28), bars(60, 3, 1, side=28))
    metrics, run = train(
        mtl,
        "dataset=multi_mnist",
        "dataset.root=data",
        "model=cnn",
        "trainer.epochs=8",
        "model.trunk.channels=[8,16]",
        "plots=false",
    )
    assert metrics["left"]["accuracy"] > 0.8
    assert metrics["right"]["accuracy"] > 0.8
    _, out, _ = mtl("evaluate", str(run))
    assert json.loads(out)["tasks"]["left"]["accuracy"] == metrics["left"]["accuracy"], "made again, the same"


IDX = ["dataset=idx", "dataset.root=own", "tasks={label: multiclass}", "model=cnn"]
FILE = "own/train-images-idx3-ubyte.gz"
LABELS = "own/train-labels-idx1-ubyte"
BAD = {
    "no files": (None, None, ["dataset=mnist", "model=cnn"], "dataset.root: there is no train-images-idx3-ubyte, .gz or not, in {cache}/mtl/mnist and {cache}/mtl ($MTL_DATA_ROOT or dataset.root names another folder); `mtl data fetch mnist` downloads what is missing"),
    "a root without them": (None, None, ["dataset=mnist", "model=cnn", "dataset.root=."], "dataset.root: there is no train-images-idx3-ubyte, .gz or not, in mnist and .; `mtl data fetch mnist` downloads what is missing"),
    "no such root": (None, None, ["dataset=mnist", "model=cnn", "dataset.root=nowhere"], "dataset.root: there is no folder nowhere"),
    "no root": (None, None, ["dataset=idx", "tasks={label: multiclass}", "model=cnn"], "dataset.root: needs a value; give dataset.root=FOLDER"),
    "another magic": (FILE, b"PNG\0\0\0\0\0", IDX, f"{FILE}: is not an idx file: it begins with 0x504e4700"),
    "a truncated gz": (FILE, gzip.compress(b"\0\0\x08\x03" + bytes(100))[:-9], IDX, f"{FILE}: is cut off: the gzip stream has no end"),
    "a wrong length": (FILE, idx_bytes(np.zeros((3, 4, 4), "uint8"))[:-1], IDX, f"{FILE}: states 3 × 4 × 4 numbers, 48 bytes, but holds 47"),
    "labels for images": (FILE, idx_bytes(np.zeros(3, "uint8")), IDX, f"{FILE}: holds an array of 3, not images"),
    "numbers for bytes": (FILE, idx_bytes(np.zeros((3, 4, 4), "float32")), IDX, f"{FILE}: holds images of type >f4, not bytes"),
    "fewer labels": (LABELS, idx_bytes(np.zeros(7, "uint8")), IDX, f"{LABELS}: has 7 labels for the 100 images of {FILE}"),
    "a label out of range": (LABELS, idx_bytes(np.repeat([0, 9], 50).astype("uint8")), [*IDX, "dataset.classes=9"], f"{LABELS}: the label 9 of image 50 is out of range; labels are 0 to 8"),
    "no such label": (None, None, [*IDX[:2], "tasks={lable: multiclass}", "model=cnn"], "tasks.lable.target: there is no column 'lable'; did you mean label?"),
    "an even kernel": (None, None, [*IDX, "model.trunk.kernel=4"], "model.trunk.kernel: must be odd, not 4"),
    "too many convolutions": (None, None, [*IDX, "model.trunk.channels=[4,4,4,4]"], "model.trunk.channels: has 4 convolutions, each of which halves the image: too many for 12 × 12"),
    "a cnn on a table": (None, None, ["dataset=wine", "model=cnn"], "model.trunk: reads image inputs, but this data set has features inputs; choose model="),
    "half an image to test on": (None, None, [*IDX, "dataset.split.val=1.5"], "dataset.split.val: 1.5 is neither a fraction"),
    "a file for the test and none for its labels": (None, None, [*IDX, "dataset.test_labels=null"], "dataset.test_images: must be given together with test_labels"),
    "a data set of a task that is not joined": (None, None, [*IDX[:2], "tasks={label: {kind: multiclass, dataset: x}}", "model=cnn"], "tasks.label.dataset: is for joined data sets"),
}  # fmt: skip


@pytest.mark.parametrize(("file", "content", "arguments", "message"), BAD.values(), ids=BAD)
def test_bad_input(
    mtl: InProcess, tmp_path: Path, file: str | None, content: bytes | None, arguments: list[str], message: str
) -> None:
    write_idx(Path("own"), bars(100, 3, 0), bars(20, 3, 1))
    if file is not None and content is not None:
        Path(file).write_bytes(content)
    before = sorted(tmp_path.iterdir())
    status, out, err = mtl("train", *arguments)
    assert (status, out) == (2, ""), err
    assert err.startswith(f"mtl train: error: {message.format(cache=tmp_path / 'cache')}")
    assert sorted(tmp_path.iterdir()) == before


def test_bad_images_to_predict(mtl: InProcess) -> None:
    write_both(Path("data"))
    _, run = train(mtl, "dataset=mnist", "dataset.root=data", "model=cnn", "trainer.epochs=1", *SMALL)
    np.savez("large.npz", images=np.zeros((2, 28, 28), "uint8"))
    np.savez("nameless.npz", pixels=np.zeros((2, 12, 12), "uint8"))
    Path("text.npz").write_text("x")
    for file, what in {
        "large.npz": "holds images of 1 × 28 × 28; the model reads 1 × 12 × 12",
        "nameless.npz": "has no array 'images'; it has pixels",
        "text.npz": "is text, no npz file",
        "table.csv": "does not look like a file of images by its name",
        "missing.npz": "there is no such file",
    }.items():
        status, out, err = mtl("predict", str(run), file)
        assert (status, out) == (2, "")
        assert err.startswith(f"mtl predict: error: {file}: {what}")
    (Path("data/mnist") / "t10k-labels-idx1-ubyte.gz").unlink()
    status, _, err = mtl("evaluate", str(run))
    assert status == 2
    assert "there is no t10k-labels-idx1-ubyte" in err
