"""Image files from the command line: training, predicting a folder, evaluating, folds, and faults in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import InProcess
from tests.images import write_photos

TASKS = (
    "tasks={species: multiclass, findings: {kind: multilabel, target: [bright, noisy], uncertain: missing,"
    " pos_weight: auto, focal: 1}}"
)
WORDS = ("dataset=images", "dataset.path=photos/labels.csv", "dataset.size=16", "model=cnn", "device=cpu")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_photos(tmp_path, 120)
    return tmp_path


def test_from_files_to_predictions(photos: Path, mtl: InProcess) -> None:
    augment = "dataset.augment={shift: 0.05, rotate: 5, brightness: 0.05}"
    words = (*WORDS, augment, "dataset.split.group=patient", "trainer.folds=none", "trainer.epochs=12", "run_dir=run")
    status, out, err = mtl("train", *words, TASKS, "optimizer.lr=0.005", "trainer.batch_size=16")
    assert status == 0, err
    assert "in grey, 16 × 16, from files of 24 × 24 to 24 × 26" in err
    metrics = json.loads(Path("run/metrics.json").read_text())["splits"]["test"]["tasks"]
    assert metrics["species"]["accuracy"] > 0.8
    assert {"roc_auc", "roc_auc_low", "roc_auc_high"} < set(metrics["findings"]["classes"]["noisy"])
    assert {"images_species.png", "confusion_findings.png"} <= {path.name for path in Path("run/plots").iterdir()}
    written = pd.read_csv("run/predictions.csv")
    assert written["findings"].dropna().str.contains("[?]bright").any()
    status, out, err = mtl("predict", "run", "photos/unseen")
    assert status == 0, err
    assert out.splitlines()[0].startswith("file,predicted_species")
    assert [line.split(",")[0] for line in out.splitlines()[1:]] == ["u0.png", "u1.png", "u2.png", "u3.png"]
    status, out, err = mtl("evaluate", "run", "--json")
    assert status == 0, err
    found = json.loads(out)["tasks"]
    for name, metric in (("species", "accuracy"), ("findings", "roc_auc"), ("findings", "loss")):
        assert found[name][metric] == pytest.approx(metrics[name][metric], rel=1e-5)
    status, out, err = mtl("evaluate", "run", "photos/labels.csv", "--json")
    assert status == 0, err
    assert json.loads(out)["rows"] == 120


def test_a_run_is_the_same_wherever_its_images_are(photos: Path, mtl: InProcess) -> None:
    words = (*WORDS, TASKS, "trainer.epochs=2", "trainer.folds=none", "plots=false", "dataset.augment.shift=0.1")
    found = []
    for cache in ("memory", "none"):
        status, _, err = mtl("train", *words, f"dataset.cache={cache}", f"run_dir={cache}")
        assert status == 0, err
        record = json.loads(Path(cache, "run.json").read_text())
        assert 0 < record["seconds_waiting"] < record["seconds_training"] < record["seconds"]
        found.append((Path(cache, "metrics.json").read_text(), Path(cache, "predictions.csv").read_text()))
    assert found[0] == found[1]
    status, _, err = mtl("train", *words, "dataset.cache=true", "run_dir=other")
    assert status == 2
    assert "dataset.cache" in err.splitlines()[-1]


def test_folds_of_images(photos: Path, mtl: InProcess) -> None:
    words = (*WORDS, "trainer.folds=3", "trainer.epochs=2", "run_dir=run", "plots=false")
    status, _, err = mtl("train", *words, TASKS)
    assert status == 0, err
    assert len(pd.read_csv("run/out_of_fold.csv")) == 96


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("dataset.path=photo",), "photo: there is no such file or folder; did you mean photos?"),
        (("dataset.folder=nowhere",), "dataset.folder: there is no folder nowhere"),
        (("dataset.size=[1,2,3]",), "dataset.size: must be a number, or a height and a width"),
        (("dataset.window=[5,1]",), "dataset.window: must be two numbers, the lower first"),
        (("dataset.split.group=patients",), "patients"),
        (("dataset.image=fil",), "dataset.image: photos/labels.csv has no column 'fil'; did you mean file?"),
        (
            ("tasks={species: {kind: multilabel, blank: missing}}",),
            "tasks.species.blank: is of labels that have a column",
        ),
        (("tasks={specie: multiclass}",), "photos/labels.csv has no column 'specie'; did you mean species?"),
    ],
)
def test_faults_are_one_line(photos: Path, mtl: InProcess, words: tuple[str, ...], message: str) -> None:
    status, out, err = mtl("train", *WORDS, TASKS, *words, "trainer.epochs=1", "run_dir=run")
    assert (status, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert not Path("run").exists()


def test_a_new_file_that_is_no_image(photos: Path, mtl: InProcess) -> None:
    status, _, err = mtl("train", *WORDS, TASKS, "trainer.epochs=1", "trainer.folds=none", "run_dir=run", "plots=false")
    assert status == 0, err
    Path("photos/unseen/u1.png").write_text("no image")
    status, _, err = mtl("predict", "run", "photos/unseen")
    assert status == 2
    assert "u1.png: is not an image that can be decoded" in err.splitlines()[-1]
    status, _, err = mtl("predict", "run", "photos/none.png")
    assert status == 2
    assert "photos/none.png: there is no such file" in err.splitlines()[-1]
