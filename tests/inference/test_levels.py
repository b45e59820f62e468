"""Levels as one answer: the finest that is sure, and scores in which a parent counts as right for its child."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.inference.levels import LevelAnswer, finest, level_scores, sure_columns
from mtl_cli.tasks.hierarchy import Hierarchy
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.task import Target
from tests.cells import make_cells, make_counts, write_h5ad
from tests.conftest import InProcess

TREE = Hierarchy("report", ["branch", "kind", "state"], [[0, 0, 1], [0, 0, 1, 2, -1]])


@settings(max_examples=80, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_scores_are_those_of_sets_of_classes(seed: int) -> None:
    """Against the definition: a class and all that lies above it, as sets of (level, class)."""
    random = np.random.default_rng(seed)
    rows, sizes = 12, (2, 3, 5)
    labels = [np.where(random.random(rows) < 0.7, random.integers(0, n, rows), -1) for n in sizes]
    level = random.integers(-1, 3, rows)
    answer = LevelAnswer(level, np.array([random.integers(0, sizes[one]) if one >= 0 else 0 for one in level]))
    targets = {
        name: Target(np.maximum(own, 0), own >= 0) for name, own in zip(TREE.levels, labels, strict=True) if own.any()
    }
    answered = random.random(rows) < 0.9

    def upwards(at: int, label: int) -> dict[int, int]:
        path = {}
        while at >= 0 and label >= 0:
            path[at] = label
            label, at = TREE.parents[at - 1][label] if at else -1, at - 1
        return path

    said, true, right, known, there = 0, 0, [], 0, 0
    for row in range(rows):
        truth: dict[int, int] = {}
        for at in (2, 1, 0):  # an own label comes before what lies above a finer one
            if labels[at][row] >= 0:
                truth[at] = int(labels[at][row])
            elif at + 1 in truth and TREE.parents[at][truth[at + 1]] >= 0:
                truth[at] = TREE.parents[at][truth[at + 1]]
        if not answered[row] or not truth:
            continue
        there += 1
        path = upwards(int(level[row]), int(answer.classes[row]))
        said += len(path.keys() & truth.keys())
        known += len(truth)
        true += len(path.items() & truth.items())
        if level[row] in truth:
            right.append(truth[level[row]] == answer.classes[row])
    found = level_scores(answer, TREE, targets, answered)
    if not there:
        assert found == {}
        return
    assert found["rows"] == there
    assert found["recall"] == pytest.approx(true / known)
    if said:
        assert found["precision"] == pytest.approx(true / said)
    if right:
        assert found["accuracy"] == pytest.approx(np.mean(right))


def test_the_finest_level_that_is_sure_answers() -> None:
    table = pd.DataFrame({"branch": ["l", "l", "m"], "kind": ["b", "t", "mono"]})
    tasks = {name: Multiclass().fit(name, table, np.arange(3)) for name in table}
    outputs = {
        "branch": np.log(np.array([[0.9, 0.1], [0.6, 0.4], [0.1, 0.9]], "float32")),
        "kind": np.log(np.array([[0.8, 0.1, 0.1], [0.3, 0.3, 0.4], [0.2, 0.45, 0.35]], "float32")),
    }
    tree = Hierarchy("report", ["branch", "kind"], [[0, 1, 0]])
    unknown = {"branch": np.array([False, True, False]), "kind": np.array([False, True, True])}
    answer = finest(tree, tasks, outputs, {}, unknown)
    columns = sure_columns(answer, tree, tasks)
    assert columns["predicted_sure"].tolist() == ["b", "unknown", "m"]
    assert columns["predicted_sure_level"].tolist() == ["kind", "", "branch"]
    scores = level_scores(answer, tree, {n: task.encode(table[n]) for n, task in tasks.items()}, np.ones(3, bool))
    assert scores["answered"] == pytest.approx(2 / 3) and scores["accuracy"] == 1
    assert (scores["precision"], scores["recall"]) == (1, pytest.approx(3 / 6))
    plain = finest(tree, tasks, outputs, {}, {})
    assert plain.level.tolist() == [1, 1, 1] and plain.classes.tolist() == [0, 2, 1]


def test_predictions_fall_back_and_are_measured(mtl: InProcess) -> None:
    labels = make_cells(400)
    counts = make_counts(labels)
    labels.loc[::9, "level3"] = None
    write_h5ad(Path("cells.h5ad"), counts, labels)
    tasks = "tasks={level1: multiclass, level2: multiclass, level3: multiclass}"
    keys = [tasks, "model=mlp", "trainer.folds=2", "trainer.epochs=6", "plots=false", "optimizer.lr=0.003"]
    assert mtl("train", "dataset=cells.h5ad", *keys, "run_dir=run")[0] == 0
    test = json.loads(Path("run/metrics.json").read_text())["splits"]["test"]
    assert test["levels"]["levels"]["level3"]["answered"] == 1
    assert test["levels"]["accuracy"] == pytest.approx(test["tasks"]["level3"]["accuracy"])
    assert test["levels"]["precision"] >= test["levels"]["accuracy"]
    wanted = ["--unknown", "0.9", "--unknown", "level1=0.8"]
    status, out, err = mtl("evaluate", "run", *wanted)
    assert status == 0, err
    report = json.loads(out)
    assert (
        "where a parent counts as right for its child: accuracy" in err and "finest level that is sure: level1" in err
    )
    status, _, err = mtl("predict", "run", "cells.h5ad", *wanted, "-o", "out.csv")
    assert status == 0, err
    written = pd.read_csv("out.csv", keep_default_na=False)
    for number in (3, 2, 1):
        own = written["predicted_sure_level"] == f"level{number}"
        assert (written["predicted_sure"] == written[f"predicted_level{number}"])[own].all()
        for finer in range(number + 1, 4):
            assert (written[f"predicted_level{finer}"] == "unknown")[own].all()
    assert (written["predicted_sure"] == "unknown").equals(written["predicted_sure_level"] == "")
    split = pd.read_csv("run/splits.csv")["split"] == "test"
    levels = report["levels"]["levels"]
    for name, found in levels.items():
        assert found["answered"] == pytest.approx((written["predicted_sure_level"] == name)[split].mean())
    status, _, err = mtl("predict", "run", "cells.h5ad", *wanted, "--hierarchy", "none", "-o", "none.csv")
    assert status == 0, err
    assert "predicted_sure" not in pd.read_csv("none.csv").columns


def test_levels_that_are_no_tree(mtl: InProcess) -> None:
    labels = make_cells(200)
    write_h5ad(Path("cells.h5ad"), make_counts(labels), labels)
    tasks = "tasks={level1: multiclass, level3: multiclass}"
    for levels, message in {
        "[level3,level1]": "training rows have a level3 that most rows of their level1 have not; coarse to fine: "
        "[level1, level3]",
        "[level1,level3,level1]": "dataset.levels: 'level1' is named more than once; each level once, coarse to fine",
    }.items():
        status, out, err = mtl("train", "dataset=cells.h5ad", tasks, f"dataset.levels={levels}", "run_dir=run")
        assert (status, out) == (2, "") and message in err and not Path("run").exists()
