"""Levels of labels: learned from training rows, and paths that are the best of all."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.inference.consistency import decide
from mtl_cli.tasks.hierarchy import Hierarchy, learn_hierarchy
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.task import Decided

TABLE = pd.DataFrame(
    {
        "branch": ["l", "l", "l", "m", "m", "p"],
        "kind": ["b", "t", "t", "mono", "dc", None],
        "sex": ["f", "m", "f", "m", "f", "m"],
    }
)


def fitted(table: pd.DataFrame = TABLE) -> tuple[dict[str, Any], dict[str, Any]]:
    every = np.arange(len(table))
    tasks = {name: Multiclass().fit(name, table, every) for name in table}
    return tasks, {name: task.encode(task.labels(table)) for name, task in tasks.items()}


def learn(table: pd.DataFrame = TABLE, levels: list[str] | None = None) -> tuple[Hierarchy | None, list[str]]:
    told: list[str] = []
    return learn_hierarchy("report", levels, *fitted(table), told.append), told


def test_levels_that_nest_are_found() -> None:
    found, told = learn()
    assert found is not None and told == []
    assert found.levels == ["branch", "kind"]
    assert found.parents == [[0, 1, 1, 0]]  # b, dc, mono, t under l, m, m, l
    assert learn(TABLE[["kind", "sex"]])[0] is None
    assert learn(TABLE[["sex", "kind", "branch"]])[0] is None, "coarse to fine is the order of the tasks"


def test_given_levels_that_do_not_nest_go_by_most_rows() -> None:
    table = TABLE.assign(kind=["b", "t", "t", "mono", "t", None])
    found, told = learn(table, ["branch", "kind"])
    assert found is not None and found.parents == [[0, 1, 0]]
    assert told == ["1 of 5 training rows have a branch that most rows of their kind have not"]


def test_what_no_row_tells_contradicts_nothing() -> None:
    found, _ = learn()
    assert found is not None
    wrong = found.contradictions([np.array([0, 0, 2]), np.array([0, 1, 1])], [3, 4])
    assert wrong.tolist() == [False, True, False], "no training row divides the class p"


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_the_best_path_is_the_best_of_all(data: st.DataObject) -> None:
    """Against every path written out."""
    sizes = data.draw(st.lists(st.integers(2, 4), min_size=2, max_size=3))
    parents = [
        data.draw(st.lists(st.integers(-1, above - 1), min_size=n, max_size=n))
        for above, n in itertools.pairwise(sizes)
    ]
    hierarchy = Hierarchy("enforce", [f"l{i}" for i in range(len(sizes))], parents)
    random = np.random.default_rng(data.draw(st.integers(0, 999)))
    probabilities = [random.dirichlet(np.ones(n), 5) for n in sizes]
    found = hierarchy.best_path(probabilities)
    assert not hierarchy.contradictions(found, sizes).any()
    paths = np.array(list(itertools.product(*map(range, sizes))))
    fits = ~hierarchy.contradictions(list(paths.T), sizes)
    totals = sum(np.log(p)[:, paths[:, level]] for level, p in enumerate(probabilities))
    best = np.where(fits, totals, -np.inf).max(1)
    mine = sum(np.log(p)[np.arange(5), level] for p, level in zip(probabilities, found, strict=True))
    np.testing.assert_allclose(mine, best)


def test_repair_and_vote() -> None:
    """Row 0 says l but mono: together m, mono is likelier. The vote goes by path, and phases are left alone."""
    tasks, _ = fitted()
    hierarchy, _ = learn()
    assert hierarchy is not None
    shares = {
        "branch": np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.2, 0.7, 0.1], [0.1, 0.8, 0.1]]),
        "kind": np.array([[0.1, 0.1, 0.7, 0.1], [0.5, 0.1, 0.1, 0.3], [0.1, 0.2, 0.6, 0.1], [0.1, 0.6, 0.2, 0.1]]),
        "sex": np.array([[0.9, 0.1], [0.1, 0.9], [0.2, 0.8], [0.3, 0.7]]),
    }
    outputs = {name: np.log(share).astype("float32") for name, share in shares.items()}

    def decoded(decided: dict[str, Decided]) -> dict[str, np.ndarray]:
        columns = [tasks[name].decode_as(outputs[name], chosen) for name, chosen in decided.items()]
        return {name: column for some in columns for name, column in some.items()}

    told: list[str] = []
    assert decide(outputs, tasks, None, None, told.append) == {} and told == []
    assert decide(outputs, tasks, hierarchy, None, told.append) == {}
    expected = "1 of 4 rows: the predicted branch and kind contradict each other; hierarchy: enforce makes them agree"
    assert told == [expected]
    enforcing = Hierarchy("enforce", hierarchy.levels, hierarchy.parents)
    repaired = decoded(decide(outputs, tasks, enforcing, None, told.append))
    assert repaired["predicted_branch"].tolist() == ["m", "l", "m", "m"]
    assert repaired["predicted_kind"].tolist() == ["mono", "b", "mono", "dc"]
    np.testing.assert_allclose(repaired["predicted_branch_prob"], [0.4, 0.9, 0.7, 0.8], rtol=1e-6)
    clusters = pd.Series(["x", "x", "x", None])
    voted = decoded(decide(outputs, tasks, enforcing, clusters, told.append))
    assert voted["predicted_branch"].tolist() == ["m", "m", "m", "m"]
    assert voted["predicted_kind"].tolist() == ["mono", "mono", "mono", "dc"]
    np.testing.assert_allclose(voted["predicted_kind_prob"], [1.4 / 3, 1.4 / 3, 1.4 / 3, 0.6], rtol=1e-6)
    assert "predicted_sex" not in voted
