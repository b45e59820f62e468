"""What sharing does to tasks that are unrelated, and to tasks that are related and have few rows."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest

from mtl_cli.data.generated.family import Family
from tests.bench.sharing import FAMILIES, NARROW, measure

SEEDS = range(1)


def error(family: str, scheme: str) -> float:
    """Return the unexplained share of the test rows' variance, a mean over tasks and seeds."""
    budget = [] if scheme == "hard" else ["model.sharing.budget=each"]
    chosen = [f"model.sharing={scheme}", *NARROW, *budget]
    return statistics.mean(measure(FAMILIES[family], chosen, seed)[0] for seed in SEEDS)


@pytest.mark.slow
def test_unrelated_tasks_want_no_hard_sharing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hard sharing loses to separate trunks by far; schemes that can keep tasks apart lose a tenth of that at most."""
    monkeypatch.chdir(tmp_path)
    hard, none = error("unrelated", "hard"), error("unrelated", "none")
    assert hard > 2 * none
    for scheme in ("mmoe", "ple", "cross_stitch"):
        assert error("unrelated", scheme) < none + 0.1 * (hard - none), scheme


@pytest.mark.slow
def test_related_tasks_with_few_rows_want_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert error("related", "hard") < 0.9 * error("related", "none")


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_the_family_is_as_related_as_it_says(correlation: float) -> None:
    """The directions that least squares finds have this cosine, and the noise and the scales are as asked for."""
    family = Family(correlation=correlation, rows=4000, noise=0.3, scale=10.0, waves=0)
    table = family.draw(0)
    x = table.filter(like="x").to_numpy()
    y = table[family.names].to_numpy()
    train = (table["split"] == "train").to_numpy()
    found, *_ = np.linalg.lstsq(x[train], y[train], rcond=None)
    cosines = np.corrcoef((x @ found).T)
    assert np.allclose(cosines[np.triu_indices(4, 1)], correlation, atol=0.05)
    residual = (y - x @ found)[train].std(0)
    assert np.allclose(residual, 0.3 * np.geomspace(1, 10, 4), rtol=0.1)


def test_tasks_may_have_rows_of_their_own() -> None:
    table = Family(rows=30, together=False).draw(0)
    labels = table[["y0", "y1", "y2", "y3"]].notna()
    train = labels[table["split"] == "train"]
    assert train.sum().tolist() == [30] * 4
    assert set(train.sum(axis=1)) == {1}
    assert bool(labels[table["split"] == "test"].all(axis=None))
