"""The real images, where they are at hand: what `dataset=mnist_fashion model=cnn trainer.epochs=3` reaches."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import InProcess

ROOT = Path(os.environ.get("MTL_DATA_ROOT") or "nowhere").absolute()

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (ROOT / "mnist").is_dir() or not (ROOT / "fashion").is_dir(),
        reason="MTL_DATA_ROOT does not point at a folder with mnist and fashion",
    ),
]


@pytest.fixture(autouse=True)
def from_any_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable may hold a relative path."""
    monkeypatch.setenv("MTL_DATA_ROOT", str(ROOT))


def test_mnist_and_fashion_through_one_trunk(mtl: InProcess) -> None:
    status, out, err = mtl("train", "dataset=mnist_fashion", "model=cnn", "trainer.epochs=3")
    assert status == 0, err
    line = json.loads(out)
    print(json.loads((Path(line["run_dir"]) / "run.json").read_text())["seconds"], "seconds")
    assert line["metrics"]["digit"]["rows"] == line["metrics"]["garment"]["rows"] == 10_000
    assert line["metrics"]["digit"]["accuracy"] >= 0.985
    assert line["metrics"]["garment"]["accuracy"] >= 0.88


def test_both_digits_of_multi_mnist(mtl: InProcess) -> None:
    status, out, err = mtl("train", "dataset=multi_mnist", "model=cnn", "trainer.epochs=2", "plots=false")
    assert status == 0, err
    metrics = json.loads(out)["metrics"]
    assert min(metrics["left"]["accuracy"], metrics["right"]["accuracy"]) >= 0.88
