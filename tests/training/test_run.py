"""A run's folder: when it is done, and what its score is."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from mtl_cli.config import registry
from mtl_cli.reports.figures.base import Axes, Course, RunFigure
from tests.conftest import InProcess
from tests.proteins import proteins

KINDS = {
    "regression": "price: {kind: regression, transform: log1p}",
    "binary": "sold: binary",
    "multiclass": "kind: multiclass",
    "multilabel": "tags: multilabel",
    "residue": "structure: residue",
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_the_best_of_the_history(mtl: InProcess, houses_csv: Path, kind: str) -> None:
    """For every kind of task; where scores are equal, of the earliest of those epochs."""
    keys = ["dataset=houses.csv", "dataset.id=house"]
    if kind == "residue":
        proteins(90, shortest=30, longest=45).to_csv("proteins.csv", index=False)
        keys = ["dataset=proteins.csv", "dataset.sequence=sequence", "model=sequence_cnn", "model.trunk.width=8"]
    more = ["trainer.epochs=6", "optimizer.lr=0.03", "plots=false", "run_dir=run"]
    status, out, err = mtl("train", *keys, f"tasks={{{KINDS[kind]}}}", *more)
    assert status == 0, err
    metrics, history = json.loads(Path("run/metrics.json").read_text()), pd.read_csv("run/mtl_history.csv")
    assert len(history) == 6
    assert metrics["score"] == pytest.approx(history["val_score"].max(), rel=1e-5, abs=1e-6)
    assert metrics["epoch"] == history["epoch"][history["val_score"].idxmax()]
    assert metrics["score"] == metrics["splits"]["val"]["score"] == json.loads(out)["score"]


class Broken(RunFigure):
    """Fails, and looks whether the run says that it is done."""

    def draw(self, axes: Axes, course: Course) -> None:
        assert Path("run/predictions.csv").exists()
        status = json.loads(Path("run/run.json").read_text())["status"]
        raise ValueError("no pen" if status == "running" else f"{status} too early")


def test_a_figure_that_fails_costs_a_line(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.components("figure")
    monkeypatch.setitem(registry._registered["figure"], "broken", Broken)
    status, out, err = mtl("train", "dataset=wine", "trainer.epochs=1", "run_dir=run")
    assert status == 0, err
    assert "note: plots: the figure broken could not be drawn: ValueError: no pen\n" in err
    assert json.loads(out)["status"] == json.loads(Path("run/run.json").read_text())["status"] == "done"
    assert {path.stem for path in Path("run/plots").iterdir()} == {
        "losses", "predicted_quality", "confusion_is_good", "calibration_is_good", "coverage_is_good",
    }  # fmt: skip


def test_a_run_is_not_done_before_its_figures_are(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(RunFigure):
        def draw(self, axes: Axes, course: Course) -> None:
            raise KeyboardInterrupt

    registry.components("figure")
    monkeypatch.setitem(registry._registered["figure"], "interrupted", Interrupted)
    status, out, _ = mtl("train", "dataset=wine", "trainer.epochs=1", "run_dir=run")
    assert (status, out) == (130, "")
    assert json.loads(Path("run/run.json").read_text())["status"] == "interrupted"
