"""The package that `mtl help plugins` makes: installed, listed, trained with, predicted with."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests import warm
from tests.conftest import houses

ROOT = Path(__file__).parents[1]
Mtl = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the package is installed."""
    folder = tmp_path_factory.mktemp("site")
    template = ROOT / "tests" / "plugin_template"
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), str(template)]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def mtl(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Mtl:
    """`mtl` in a process that finds the package, in a folder with houses in columns of fixed width."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "houses.fwf").write_text(houses().to_string(index=False))
    return functools.partial(warm.mtl, folder, path=(site, ROOT))


def test_its_parts_are_listed(mtl: Mtl) -> None:
    for what, name in (("balancers", "worst_first"), ("tasks", "upper_limit"), ("datasets", "fixed_width")):
        done = mtl("list", what, "--json")
        assert name in {row["name"] for row in json.loads(done.stdout)}, done.stderr


def test_its_parts_train_together_and_predict(mtl: Mtl) -> None:
    done = mtl(
        "train", "dataset=houses.fwf", "balancer=worst_first", "balancer.temperature=0.5", "dataset.id=house",
        "tasks={price: {kind: upper_limit, q: 0.9}, sold: binary}", "dataset.features.exclude=[kind,tags]",
        "trainer.epochs=30", "trainer.folds=none", "plots=false", "run_dir=run",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = Path(str(done.args[-1]).removeprefix("run_dir="))
    assert json.loads(done.stdout)["run_dir"] == str(folder)
    predicted = mtl("predict", "run", "houses.fwf")
    assert predicted.returncode == 0, predicted.stderr
    rows = [line.split(",") for line in predicted.stdout.splitlines()]
    assert rows[0] == ["house", "predicted_price", "predicted_sold", "predicted_sold_prob"]
    table = pd.DataFrame(rows[1:], columns=rows[0])
    price = houses()["price"]
    below = (price < table["predicted_price"].astype(float))[price.notna()].mean()
    assert 0.75 < below < 0.99, "nine in ten prices are below their 0.9 quantile"


def test_a_wrong_key_of_it_is_refused_with_a_hint(mtl: Mtl) -> None:
    done = mtl("train", "dataset=wine", "balancer=worst_first", "balancer.temprature=0.5")
    assert done.returncode == 2
    assert "balancer.temprature: unknown key; did you mean balancer.temperature?" in done.stderr
