"""Results that hold: on any number of threads, in any order of rows, from disk; and numbers that are not finite."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import InProcess, houses

SHORT = ("trainer.epochs=3", "trainer.folds=none", "trainer.baselines=none", "plots=false", "device=cpu")
WINE = Path(__file__).parents[2] / "mtl_cli/data/builtin/winequality-red.csv"


def predicted(mtl: InProcess, run: str, table: str, key: str) -> pd.DataFrame:
    status, _, err = mtl("predict", run, table, "-o", f"{run}_out.csv")
    assert status == 0, err
    return pd.read_csv(f"{run}_out.csv").set_index(key).sort_index()


@pytest.mark.slow  # where other processes want the cores, two threads wait for each other
def test_one_and_two_threads_agree(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a network that is large enough for both."""
    houses(160).to_csv("houses.csv", index=False)
    found = []
    for threads in (1, 2):
        monkeypatch.setattr("mtl_cli.training.device._ALL_THREADS", threads)
        words = (
            "tasks={price: regression}",
            "model.trunk.hidden=[600,600]",
            "trainer.epochs=1",
            f"run_dir=run{threads}",
        )
        assert mtl("train", "dataset=houses.csv", "dataset.id=house", *SHORT, *words)[0] == 0
        assert json.loads(Path(f"run{threads}/run.json").read_text())["threads"] == threads
        found.append(predicted(mtl, f"run{threads}", "houses.csv", "house")["predicted_price"])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_the_order_of_the_rows_does_not_matter_where_ids_split_them(mtl: InProcess) -> None:
    table = houses(200)
    table.to_csv("a.csv", index=False)
    table.sample(frac=1, random_state=1).to_csv("b.csv", index=False)
    found = []
    for name in ("a", "b"):
        words = (
            f"dataset={name}.csv",
            "dataset.id=house",
            "dataset.split.by=id",
            "tasks={price: regression, sold: binary}",
        )
        status, _, err = mtl("train", *words, *SHORT, "dataset.features.exclude=[tags,kind]", f"run_dir={name}")
        assert status == 0, err
        found.append(predicted(mtl, name, "a.csv", "house"))
    pd.testing.assert_frame_equal(found[0], found[1], rtol=1e-6)


def test_cells_on_disk_are_trained_on_as_in_memory(mtl: InProcess) -> None:
    cells = make_cells(150)
    write_h5ad(Path("cells.h5ad"), make_counts(cells), cells)
    scores = []
    for backed in ("true", "false"):
        words = (
            "dataset=cells.h5ad",
            "tasks={level1: multiclass}",
            f"dataset.backed={backed}",
            f"run_dir=run_{backed}",
        )
        assert mtl("train", *words, *SHORT)[0] == 0
        scores.append(json.loads(Path(f"run_{backed}/metrics.json").read_text())["score"])
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["balancer=si", "trainer.epochs=60", "optimizer.lr=0.3"], "such as balancer.shift=1"),
        (["balancer=uw", "balancer.lr=1e38"], "balancer: the weight of "),
        (["optimizer=sgd", "optimizer.lr=1e20"], "a lower optimizer.lr, or trainer.clip_norm=1, may help"),
    ],
)
def test_numbers_that_are_not_finite_are_told_where_they_arise(mtl: InProcess, words: list[str], message: str) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(120, 3))
    table = pd.DataFrame(inputs, columns=["a", "b", "c"]).assign(y=inputs[:, 0], z=(inputs[:, 1] > 0).astype(int))
    table.to_csv("t.csv", index=False)
    tasks = "tasks={z: binary}" if "balancer=si" in words else "tasks={y: regression, z: binary}"
    features = "dataset.features.exclude=[y]" if "balancer=si" in words else "seed=0"
    status, _, err = mtl("train", "dataset=t.csv", tasks, features, *SHORT, "trainer.early_stopping=null", *words)
    assert (status, "Traceback" in err) == (2, False), err
    assert message in err.splitlines()[-1]
    assert "in epoch " in err.splitlines()[-1]


def test_a_run_that_has_not_ended_well_says_so(mtl: InProcess) -> None:
    assert mtl("train", "dataset=wine", *SHORT, "model.trunk.hidden=[4]", "run_dir=run")[0] == 0
    assert "the run of run" not in mtl("evaluate", "run")[2]
    record = json.loads(Path("run/run.json").read_text())
    for status, how in {"failed": "failed", "interrupted": "was interrupted", "running": "has not ended"}.items():
        Path("run/run.json").write_text(json.dumps({**record, "status": status}))
        for words in (["predict", "run", str(WINE)], ["evaluate", "run"]):
            line = (
                f"note: the run of run {how}: the model is that of its best epoch so far; mtl train resume=run goes on"
            )
            assert line in mtl(*words)[2].splitlines()
