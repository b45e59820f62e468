"""What holds for any table and config: a model predicts its own file as its run did, and a config repeats its run."""

from __future__ import annotations

import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from mtl_cli.cli.main import run

FEATURES = ["rooms", "town", "open", "since"]
TASKS = {
    "größe": ["regression", "{kind: regression, transform: log1p, loss: huber}", "{kind: regression, weight: 3}"],
    "sold": ["binary", "{kind: binary, auxiliary: true}"],
    "价格": ["multiclass", "{kind: multiclass, label_smoothing: 0.1}"],
    "tags": ["{kind: multilabel, separator: '|'}"],
}
KEYS = {
    "balancer": ["uniform", "gradnorm", "upgrad", "famo", "uw"],
    "model.trunk.hidden": ["[8]", "[8,4]"],
    "model.trunk.norm": ["null", "batch"],
    "model.sharing": ["hard", "mmoe"],
    "optimizer": ["adam", "sgd", "adamw"],
    "scheduler": ["none", "cosine"],
    "trainer.batch_size": ["16", "null"],
    "trainer.log_balance": ["1", "epoch"],
    "dataset.split.val": ["0.2", "0"],
    "dataset.split.duplicates": ["warn", "drop"],
    "seed": ["0", "7"],
}


@dataclass(frozen=True)
class Case:
    """A table as text, its separator, and the words of a run on it."""

    text: str
    separator: str
    words: list[str]


def table_of(
    random: np.random.Generator, rows: int, columns: list[str], tasks: list[str], missing: float
) -> pd.DataFrame:
    """Return a table with these columns and tasks; a share of all cells but the ids is missing."""
    length = random.normal(size=rows).round(3)
    towns = ["Ulm", "Saint-Étienne, haut", 'the "old" town', "São; Paulo"]
    every = {
        "length": length,
        "rooms": random.integers(1, 9, rows),
        "town": random.choice(towns, rows),
        "open": random.choice([True, False], rows),
        "since": pd.Series(
            pd.Timestamp("2001-01-01") + pd.to_timedelta(random.integers(0, 900, rows), "D")
        ).dt.strftime("%Y-%m-%d"),
        "größe": np.exp(length + 0.3 * random.normal(size=rows)).round(2),
        "sold": random.choice(["yes", "no"], rows),
        "价格": random.choice(["low", "mid, or so", "high"], rows),
        "tags": random.choice(["a", "a|b", "b|c", "c"], rows),
    }
    table = pd.DataFrame({name: every[name] for name in [*columns, *tasks]}).astype(object)
    table = table.mask(random.random(table.shape) < missing)
    return table.assign(number=[f"{i:04}" for i in range(rows)])


@st.composite
def cases(draw: st.DrawFn) -> Case:
    columns = ["length", *draw(st.lists(st.sampled_from(FEATURES), unique=True))]  # or all rows would be duplicates
    tasks = draw(st.lists(st.sampled_from(list(TASKS)), min_size=1, max_size=3, unique=True))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    table = table_of(random, draw(st.integers(60, 90)), columns, tasks, draw(st.sampled_from([0.0, 0.1])))
    separator = draw(st.sampled_from([",", ";", "\t"]))
    kinds = {name: draw(st.sampled_from(TASKS[name])) for name in tasks}
    if len(tasks) == 1:  # one that is scored is needed
        kinds = {name: TASKS[name][0] for name in tasks}
    words = ["tasks={" + ", ".join(f"{name}: {kind}" for name, kind in kinds.items()) + "}"]
    words += [f"{key}={draw(st.sampled_from(values))}" for key, values in KEYS.items()]
    words += draw(st.sampled_from([["dataset.id=number"], ["dataset.features.exclude=[number]"]]))
    return Case(table.to_csv(sep=separator, index=False), separator, words)


def mtl(*words: str) -> str:
    """Return what ``mtl`` prints in this process."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline=""), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = run(list(words))
    assert status == 0, f"{words}\n{err.getvalue()}"
    out.flush()
    return out.buffer.getvalue().decode()  # type: ignore[attr-defined]


@contextlib.contextmanager
def trained(case: Case) -> Iterator[dict[str, Any]]:
    """Train on a case in a folder of its own, where the rest is done too; the run's folder is ``first``."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("table.csv").write_text(case.text, encoding="utf-8")
        words = ["train", "dataset=table.csv", f"dataset.separator='{case.separator}'", *case.words]
        yield json.loads(mtl(*words, "trainer.epochs=2", "plots=false", "run_dir=first"))


few = settings(max_examples=8, deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate])
"""Without shrinking, which would train for minutes; the words of a run that fails say what it was."""


@few
@given(cases())
def test_a_model_predicts_its_own_file_as_its_run_did(case: Case) -> None:
    with trained(case):
        row = "number" if "dataset.id=number" in case.words else "row"
        printed = io.StringIO(mtl("predict", "first", "table.csv"))
        every, kept = (pd.read_csv(file, dtype=str).set_index(row) for file in (printed, "first/predictions.csv"))
        assert len(kept) > 5 and every.index.is_unique
        predicted = [name for name in kept.columns if name.startswith("predicted_")]
        assert predicted == list(every.columns)
        for name in predicted:
            again, then = every.loc[kept.index, name], kept[name]
            try:
                np.testing.assert_allclose(again.astype(float), then.astype(float), rtol=1e-4, atol=1e-5)
            except ValueError:
                assert again.tolist() == then.tolist()


@pytest.mark.slow
@few
@given(cases())
def test_a_runs_config_makes_the_same_config_and_the_same_run(case: Case) -> None:
    with trained(case) as line:
        again = json.loads(mtl("train", "first/config.yaml", "run_dir=second"))
        assert again["metrics"] == line["metrics"]
        first, second = Path("first"), Path("second")
        for name in ("config.yaml", "predictions.csv", "splits.csv", "metrics.json"):
            assert (first / name).read_bytes() == (second / name).read_bytes(), name
        histories = [pd.read_csv(folder / "mtl_history.csv").drop(columns="seconds") for folder in (first, second)]
        pd.testing.assert_frame_equal(*histories)
        assert sorted(path.name for path in first.iterdir()) == sorted(path.name for path in second.iterdir())
