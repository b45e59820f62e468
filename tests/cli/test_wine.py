"""What the main job must reach on the real wine data."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import mtl_cli
from tests.conftest import InProcess

SHA256 = "4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e"


def metrics_of(mtl: InProcess, seeds: int, *keys: str) -> list[dict[str, Any]]:
    found = []
    for seed in range(seeds):
        status, out, err = mtl("train", *keys, f"seed={seed}", "plots=false", f"run_dir=r{seed}")
        assert status == 0, err
        found.append(json.loads(out)["metrics"])
    return found


def test_the_file_is_the_published_one_and_says_where_from() -> None:
    folder = Path(mtl_cli.__file__).parent / "data" / "builtin"
    assert hashlib.sha256((folder / "winequality-red.csv").read_bytes()).hexdigest() == SHA256
    licence = (folder / "winequality-red.LICENSE").read_text()
    assert SHA256 in licence
    assert "10.24432/C56S3T" in licence


@pytest.mark.slow
def test_gradnorm_over_five_seeds(mtl: InProcess) -> None:
    found = metrics_of(mtl, 5, "dataset=wine", "balancer=gradnorm")
    assert np.mean([metrics["quality"]["mse"] for metrics in found]) <= 0.38
    assert np.mean([metrics["is_good"]["accuracy"] for metrics in found]) >= 0.74
    for seed in range(5):
        weights = pd.read_csv(f"r{seed}/gradnorm_weights.csv").filter(like="weight_")
        np.testing.assert_allclose(weights.sum(axis=1), 2, atol=1e-5)


@pytest.mark.slow
def test_the_plain_recipe_falls_in_the_range_of_a_plain_script_and_the_default_beats_it(mtl: InProcess) -> None:
    plain = metrics_of(mtl, 3, "experiment=wine_baseline")
    for metrics in plain:
        assert 0.369 <= metrics["quality"]["mse"] <= 0.471
        assert 0.728 <= metrics["is_good"]["accuracy"] <= 0.756
    for seed in range(3):
        for file in Path(f"r{seed}").iterdir():
            file.unlink()
    default = metrics_of(mtl, 3, "dataset=wine")
    for task, metric, sign in (("quality", "mse", -1), ("is_good", "accuracy", 1)):
        means = [np.mean([metrics[task][metric] for metrics in runs]) for runs in (default, plain)]
        assert sign * (means[0] - means[1]) > 0, (task, means)


def test_the_plain_recipe_is_the_plain_script(mtl: InProcess) -> None:
    """The same seed gives the same model as the script that people write by hand."""
    from tests.bench.plain_wine import train

    mse, accuracy = train(0)
    ours = metrics_of(mtl, 1, "experiment=wine_baseline")[0]
    np.testing.assert_allclose(ours["quality"]["mse"], mse, rtol=2e-2)
    np.testing.assert_allclose(ours["is_good"]["accuracy"], accuracy, atol=1.01 / 320)
