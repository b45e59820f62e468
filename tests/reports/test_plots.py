"""Figures: names are drawn as they are written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from mtl_cli.reports.figures.base import Axes
from mtl_cli.reports.plots import _draw
from tests.conftest import InProcess


def test_text_is_drawn_as_written(tmp_path: Path) -> None:
    """Also text that matplotlib would take for mathematics, or for mathematics that is wrong."""
    axes_drawn: list[Axes] = []

    def draw(axes: Axes) -> None:
        axes.set(title="$x_1$ and $$", xlabel=r"\$ $^$")
        axes.set_xticks([0, 1], ["$", "$\\frac$"])
        axes.plot([0, 1], [0, 1], label="$$$ _{")
        axes.legend()
        axes_drawn.append(axes)

    notes: list[str] = []
    _draw(tmp_path / "a.png", draw, notes.append)
    axes = axes_drawn[0]
    texts = [axes.title, axes.xaxis.label, *axes.get_xticklabels(), *axes.get_legend().get_texts()]
    assert [text.get_text() for text in texts] == ["$x_1$ and $$", r"\$ $^$", "$", "$\\frac$", "$$$ _{"]
    assert not any(text.get_parse_math() for text in texts)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert notes == []


def test_labels_that_are_dollars(mtl: InProcess) -> None:
    rows = 120
    random = np.random.default_rng(0)
    x = random.normal(size=rows)
    labels = np.array(["$", "$$", "$$$"])[np.digitize(x, [-0.5, 0.5])]
    pd.DataFrame({"x": x, "$z$_": random.normal(size=rows), "price": labels}).to_csv("a.csv", index=False)
    status, out, err = mtl("train", "dataset=a.csv", "tasks={price: multiclass}", "trainer.epochs=2", "run_dir=run")
    assert status == 0, err
    assert "plots" not in err
    assert json.loads(out)["status"] == "done"
    assert {path.name for path in Path("run/plots").iterdir()} == {
        "losses.png", "weights.png", "confusion_price.png", "calibration_price.png",
    }  # fmt: skip


def test_letters_that_the_font_lacks_are_one_line_a_picture(mtl: InProcess) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=100)
    labels = np.where(x > 0, "価格が高い", "安い")
    pd.DataFrame({"x": x, "y": labels}).to_csv("a.csv", index=False)
    status, _, err = mtl("train", "dataset=a.csv", "tasks={y: multiclass}", "trainer.epochs=1", "run_dir=run")
    assert status == 0, err
    assert ".py" not in err
    notes = [line for line in err.splitlines() if "missing from font" in line]
    assert len(notes) == 1
    assert notes[0].startswith("note: plots/confusion_y.png: Glyph")
