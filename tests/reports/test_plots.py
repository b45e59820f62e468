"""Figures: names are drawn as they are written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

from mtl_cli.reports.figures.base import Axes
from mtl_cli.reports.plots import _means, draw_file, of_member, read_columns
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
    draw_file(tmp_path / "a.png", draw, notes.append)
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
        "losses.png", "confusion_price.png", "calibration_price.png",
        "coverage_price.png", "coverage_price.csv",
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


def test_members_have_pictures_of_the_test_rows_as_vector_graphics(mtl: InProcess) -> None:
    """Several members' runs are measured and drawn on the same rows as those of one; SVG is the same to the byte."""
    keys = ["dataset=wine", "balancer=gradnorm", "trainer.folds=2", "trainer.epochs=2", "plots=svg"]
    for folder in ("a", "b"):
        status, _, err = mtl("train", *keys, f"run_dir={folder}")
        assert status == 0 and "plots" not in err, err
    names = {"losses", "weights", "predicted_quality", "confusion_is_good", "calibration_is_good", "coverage_is_good"}
    assert {path.name for path in Path("a/plots").glob("*.svg")} == {f"{name}.svg" for name in names}
    assert "member 1: the best epoch was the last" in err, "notes are of one member's course, not of a mean"
    for path in Path("a/plots").iterdir():
        assert path.read_bytes() == (Path("b/plots") / path.name).read_bytes()
        assert path.suffix == ".csv" or b"<svg" in path.read_bytes()


def test_the_mean_of_members_ends_with_the_first_of_them(tmp_path: Path) -> None:
    """Rows of members that are trained at once lie between one another."""
    path = tmp_path / "history.csv"
    path.write_text("member,epoch,loss_a\n0,1,4\n1,1,2\n0,2,3\n2,1,9\n0,3,1\n")
    columns = read_columns(path)
    assert of_member(columns, 0) == {"epoch": [1, 2, 3], "loss_a": [4, 3, 1]}
    assert _means([of_member(columns, 0), of_member(columns, 1)]) == {"epoch": [1], "loss_a": [3]}


def test_a_form_that_is_none_is_one_line(mtl: InProcess) -> None:
    status, out, err = mtl("train", "dataset=wine", "plots=pdf")
    assert (status, out, len(err.splitlines())) == (2, "", 1)
    assert "plots: must be true or false or 'png' or 'svg', not 'pdf'" in err
