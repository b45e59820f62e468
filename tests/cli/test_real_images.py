"""The real images, where they are at hand: what `dataset=mnist_fashion model=cnn` reaches, after one epoch.

By hand, ``EPOCHS=3`` trains longer, and asks for more."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import InProcess

EPOCHS = int(os.environ.get("EPOCHS", "1"))
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
    status, out, err = mtl("train", "dataset=mnist_fashion", "model=cnn", f"trainer.epochs={EPOCHS}")
    assert status == 0, err
    line = json.loads(out)
    assert line["metrics"]["digit"]["rows"] == line["metrics"]["garment"]["rows"] == 10_000
    digit, garment = (0.985, 0.88) if EPOCHS >= 3 else (0.975, 0.86)
    assert line["metrics"]["digit"]["accuracy"] >= digit
    assert line["metrics"]["garment"]["accuracy"] >= garment


def test_both_digits_of_multi_mnist(mtl: InProcess) -> None:
    half = "dataset.split.val=0.5"  # of the digits: as many pairs are enough, and take half the time
    status, out, err = mtl("train", "dataset=multi_mnist", half, "model=cnn", f"trainer.epochs={EPOCHS}", "plots=false")
    assert status == 0, err
    metrics = json.loads(out)["metrics"]
    assert min(metrics["left"]["accuracy"], metrics["right"]["accuracy"]) >= 0.94
