"""Permutation importance: what was planted is found, and it is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.inspection import permutation_importance
from sklearn.utils import check_random_state

from mtl_cli.data.inputs import DenseRows
from mtl_cli.data.joint.rows import JointRows, Sampling
from mtl_cli.data.sequences.rows import TokenRows
from mtl_cli.inference.explain.dependence import dependence, top_features
from mtl_cli.inference.explain.importance import Importance, importance
from mtl_cli.inference.explain.rows import Explained, skills
from tests.inference.explain.conftest import planted

SINGLES = ["a", "b", "c", "d", "e", "f", "noise", "word"]


@pytest.fixture(scope="module")
def found(planted_rows: Explained) -> list[Importance]:
    return importance(planted_rows, print)


def lost(found: list[Importance], task: str) -> dict[str, Importance]:
    return {one.feature.name: one for one in found if one.task == task}


def test_each_task_needs_what_was_planted(found: list[Importance]) -> None:
    price, sold, rent = (lost(found, task) for task in ("price", "sold", "rent"))
    assert set(price) == {*SINGLES, "e + f"}
    assert list(price)[:2] == ["a", "b"] and price["a"].lost > 5 * price["b"].lost
    assert set(list(sold)[:2]) == {"c", "d"}
    assert sold["c"].low > 0.5 and sold["d"].low > 0.5  # of no use alone, yet each is needed
    assert next(iter(rent)) == "e + f" and rent["e + f"].members == ("e", "f")
    for task, own in (("price", price), ("sold", sold), ("rent", rent)):
        needed = {"price": "ab", "sold": "cd", "rent": "ef"}[task]
        idle = [one for name, one in own.items() if len(name) != 5 or name == "noise" if name not in needed]
        assert max(one.lost for one in idle) < 0.1 * min(own[name].lost for name in needed), task


def test_redundant_columns_are_more_together_than_each_alone(found: list[Importance]) -> None:
    rent = lost(found, "rent")
    assert rent["e + f"].lost > 1.5 * max(rent["e"].lost, rent["f"].lost)
    assert rent["e + f"].lost == pytest.approx(2, abs=0.4)  # of unrelated predictions: error twice the variance


def test_intervals_hold_the_mean_and_are_narrow_with_many_rows(found: list[Importance]) -> None:
    for one in found:
        assert one.low <= one.lost <= one.high
    assert all(one.high - one.low < 0.8 for one in found)


def test_it_is_scikit_learn_s_on_a_plain_case(planted_rows: Explained) -> None:
    names = ["a", "b", "c", "d", "e", "f", "noise"]

    class Ours(BaseEstimator):  # type: ignore[misc]
        """The model behind scikit-learn's interface, on encoded inputs."""

        def fit(self, X: np.ndarray, y: np.ndarray) -> None: ...

    def scorer(_: Ours, X: np.ndarray, y: np.ndarray) -> float:
        return skills(planted_rows, planted_rows.outputs(DenseRows(X)))["price"]

    inputs = planted_rows.inputs.take(slice(0, len(planted_rows.inputs))).numpy()
    theirs = permutation_importance(Ours(), inputs, inputs[:, 0], scoring=scorer, n_repeats=4, random_state=3)
    random = check_random_state(check_random_state(3).randint(np.iinfo(np.int32).max + 1))
    index, order, orders = np.arange(len(inputs)), np.arange(len(inputs)), []
    for _ in range(4):  # each shuffle of theirs is of what the one before left
        random.shuffle(index)
        order = order[index]
        orders.append(order)
    ours = lost(importance(planted_rows, print, correlated=1, shuffles=orders), "price")
    for number, name in enumerate(names):
        assert ours[name].lost == pytest.approx(theirs.importances_mean[number], abs=1e-5), name
        assert ours[name].deviation == pytest.approx(theirs.importances[number].std(ddof=1), abs=1e-5)


def test_partial_dependence_has_the_slope_that_was_planted(planted_rows: Explained, found: list[Importance]) -> None:
    curves = {(one.task, one.feature.name): one for one in dependence(planted_rows, top_features(found, 2))}
    price = curves["price", "a"]
    slope = np.polyfit(price.values, price.predicted["price"], 1)[0]
    assert slope == pytest.approx(2, abs=0.2)
    product = curves["sold", "c"].predicted["yes"]
    assert max(product) - min(product) < 0.35  # an interaction has no main effect
    values = planted()["a"]
    assert values.min() <= min(price.values) and max(price.values) <= values.max()


def test_of_a_category_every_level_is_set(planted_rows: Explained) -> None:
    word = next(feature for feature in planted_rows.features() if feature.name == "word")
    (one,) = dependence(planted_rows, {"price": [word]})
    assert sorted(one.values) == ["x", "y", "z"] and len(one.predicted["price"]) == 3
    table = planted_rows.examples.table.assign(word=one.values[0])
    inputs = planted_rows.model.reader.encode(table, "the table").inputs  # type: ignore[attr-defined]
    said = planted_rows.model.tasks["price"].decode(planted_rows.outputs(inputs)["price"])["predicted_price"]
    assert said.mean() == pytest.approx(one.predicted["price"][0], rel=1e-5)


def test_tokens_are_shuffled_at_their_position_among_rows_that_reach_it() -> None:
    import torch

    lengths = np.array([3, 1, 2])
    rows = TokenRows(torch.tensor([1, 2, 3, 4, 5, 6], dtype=torch.uint8), lengths)
    found = rows.shuffled([1], np.array([2, 1, 0]))
    assert found.take(slice(0, 3)).tolist() == [[1, 6, 3], [4, 0, 0], [5, 2, 0]]
    assert rows.take(slice(0, 3)).tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0]]


def test_of_joined_data_sets_only_the_feature_s_own_rows_change() -> None:
    first, second = np.arange(6.0).reshape(3, 2), np.arange(6.0, 10.0).reshape(2, 2)
    rows = JointRows([DenseRows(first), DenseRows(second)], True, Sampling())
    of = np.array([False, False, False, True, True])
    found = rows.shuffled([0], np.array([4, 1, 3, 0, 2]), of).take(slice(0, 5))
    assert found.tolist() == [*first.tolist(), [8.0, 7.0], [6.0, 9.0]]  # type: ignore[union-attr]
    assert rows.replaced([1], found.new_tensor([0.5]), of).take(slice(0, 5))[3:].tolist() == [[6, 0.5], [8, 0.5]]  # type: ignore[union-attr,index]


def test_a_table_is_explained_as_its_test_rows(planted_rows: Explained) -> None:
    assert isinstance(planted_rows.examples.table, pd.DataFrame) and len(planted_rows.part) == 300
