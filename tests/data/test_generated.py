"""Drawn tasks: their relation is what was asked for, and what is not trained is no feature."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mtl_cli.data.generated.family import Family
from tests.conftest import InProcess


@pytest.mark.parametrize("correlation", [1.0, 0.6, 0.0, -0.3, -0.5])
def test_directions_have_the_cosine_that_is_asked_for(correlation: float) -> None:
    table = Family(tasks=3, correlation=correlation, waves=0, noise=0, rows=20).draw(1)
    x = table.filter(like="x").to_numpy()
    directions = np.linalg.lstsq(np.c_[x, np.ones(len(x))], table.filter(like="y").to_numpy(), rcond=None)[0][:-1]
    unit = directions / np.linalg.norm(directions, axis=0)
    np.testing.assert_allclose((unit.T @ unit)[np.triu_indices(3, 1)], correlation, atol=1e-6)


def test_a_run_draws_the_same_rows_wherever_it_is_and_takes_no_label_for_a_feature(
    mtl: InProcess, tmp_path: Path
) -> None:
    words = ["dataset=generated", "dataset.tasks=3", "dataset.rows=40", "trainer.epochs=1", "plots=false"]
    assert mtl("train", *words, "run_dir=a")[0] == 0
    (tmp_path / "b").mkdir()
    assert mtl("train", *words, "run_dir=b/b")[0] == 0
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("a", "b/b"))
    assert first["splits"] == second["splits"]
    status, out, err = mtl("inspect", "a", "--format", "json")
    assert status == 0, err
    assert "x7" in out and "y2" not in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["dataset.tasks=3", "dataset.correlation=-0.6"], "dataset.correlation: must be from -0.5 to 1 for 3 tasks"),
        (["dataset.inputs=2"], "dataset.inputs: must be more than the 2 tasks, not 2"),
        (["tasks.y5=regression"], "tasks.y5: 'y5' is not one of the 2 that are drawn, y0, y1; dataset.tasks=N draws N"),
    ],
)
def test_what_cannot_be_drawn(mtl: InProcess, words: list[str], said: str) -> None:
    status, _, err = mtl("train", "dataset=generated", *words)
    assert status == 2
    assert said in err
