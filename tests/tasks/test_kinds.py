"""Task kinds: targets, losses against closed forms, the best constant, labels that stay the user's own."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import minimize
from sklearn import metrics

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from tests.conftest import houses

TABLE = houses()
TABLE["left"] = TABLE["garden"].where(TABLE["price"].notna()).map({True: 1, False: 0})
EVERY = np.arange(len(TABLE))


def fit(kind: str, column: str, table: pd.DataFrame = TABLE, train: np.ndarray = EVERY, **keys: Any) -> Any:
    return components("task")[kind](**{"target": column, **keys}).fit("t", table, train)


CASES = [
    ("regression", "price", {}),
    ("regression", "price", {"loss": "mae"}),
    ("regression", "price", {"loss": "huber", "delta": 0.5}),
    ("regression", "price", {"transform": "log1p"}),
    ("regression", "price", {"standardize": False}),
    ("regression", "sold", {"mapping": {"no": 0.0, "yes": 1.5}}),
    ("binary", "sold", {}),
    ("binary", "sold", {"pos_weight": "auto"}),
    ("binary", "sold", {"pos_weight": 3.0, "positive": "no"}),
    ("binary", "rooms", {"at_least": 4}),
    ("binary", "garden", {}),
    ("multiclass", "kind", {}),
    ("multiclass", "rooms", {"class_weights": "balanced"}),
    ("multiclass", "city", {"label_smoothing": 0.1, "class_weights": {"Oslo": 2.0}}),
    ("multilabel", "tags", {}),
    ("multilabel", "tags", {"pos_weight": "auto"}),
    ("ordinal", "rooms", {}),
    ("ordinal", "kind", {"order": ["flat", "house", "villa"]}),
    ("count", "rooms", {}),
    ("count", "rooms", {"loss": "negative_binomial"}),
    ("quantile", "price", {}),
    ("interval", "price", {"interval": 0.8, "transform": "log1p"}),
    ("censored", "price", {}),
    ("censored", "price", {"transform": "log1p"}),
    ("survival", "price", {"event": "left", "intervals": 5}),
    ("survival", "price", {"event": "left", "loss": "cox"}),
]
IDS = [f"{kind}-{column}-{'-'.join(keys)}" for kind, column, keys in CASES]


@pytest.mark.parametrize(("kind", "column", "keys"), CASES, ids=IDS)
def test_the_baseline_is_the_best_constant(kind: str, column: str, keys: dict[str, Any]) -> None:
    """No constant output has a lower loss than ``baseline``, which is found in closed form."""
    task = fit(kind, column, **keys)
    target = task.encode(task.labels(TABLE))
    values = torch.from_numpy(target.values[target.mask])

    def loss(constant: np.ndarray) -> float:
        output = torch.tensor(constant, dtype=torch.float32).expand(len(values), -1)
        return float(task.loss(output, values).double().mean())

    scale = max(1.0, float(np.abs(task.baseline).max()))
    best = minimize(loss, task.baseline * 0.9 + 0.05 * scale, method="Powell", options={"maxfev": 4000})
    assert loss(task.baseline) <= best.fun * (1 + 2e-4) + 1e-6


@pytest.mark.parametrize(("kind", "column", "keys"), CASES, ids=IDS)
def test_what_is_kept_gives_the_same_task(kind: str, column: str, keys: dict[str, Any]) -> None:
    task = fit(kind, column, **keys)
    file = io.BytesIO()
    torch.save(task.state(), file)
    file.seek(0)
    again = components("task")[kind].restore(torch.load(file, weights_only=True))
    output = np.random.default_rng(0).normal(size=(5, task.outputs)).astype("float32")
    for name, values in task.decode(output).items():
        np.testing.assert_array_equal(again.decode(output)[name], values)
    labels = task.labels(TABLE)
    np.testing.assert_array_equal(again.encode(labels).values, task.encode(labels).values)


@pytest.mark.parametrize(("kind", "column", "keys"), CASES, ids=IDS)
def test_missing_labels_are_masked_and_the_monitor_is_the_primary_metric(
    kind: str, column: str, keys: dict[str, Any]
) -> None:
    task = fit(kind, column, **keys)
    target = task.encode(task.labels(TABLE))
    expected = TABLE[column].notna().to_numpy()
    np.testing.assert_array_equal(target.mask, expected)
    output = np.random.default_rng(0).normal(size=(len(TABLE), task.outputs)).astype("float32")[expected]
    values = target.values[expected]
    found = task.metrics(output, values)
    assert next(iter(found)) == task.primary
    assert float(task.monitor(torch.from_numpy(output), torch.from_numpy(values))) == pytest.approx(
        found[task.primary], rel=1e-4
    )


def test_regression_losses_are_those_of_the_encoded_label() -> None:
    output, target = torch.tensor([[0.0], [3.0]]), torch.tensor([1.0, 0.5])
    assert fit("regression", "price").loss(output, target).tolist() == [1.0, 6.25]
    assert fit("regression", "price", loss="mae").loss(output, target).tolist() == [1.0, 2.5]
    assert fit("regression", "price", loss="huber").loss(output, target).tolist() == [0.5, 2.0]


@pytest.mark.parametrize("transform", ["none", "log1p"])
def test_regression_goes_to_the_encoded_scale_and_back(transform: str) -> None:
    train = np.arange(100)
    task = fit("regression", "price", train=train, transform=transform)
    labels = task.labels(TABLE)
    target = task.encode(labels)
    inside = target.values[train][target.mask[train]]
    assert inside.mean() == pytest.approx(0, abs=1e-5)
    assert inside.std() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(
        task.decode(target.values[:, None])["predicted_t"][target.mask], labels.dropna(), rtol=1e-5
    )


def test_regression_metrics_are_in_user_units() -> None:
    task = fit("regression", "price")
    labels = task.labels(TABLE)
    target = task.encode(labels)
    output = (target.values + 0.1)[target.mask][:, None]
    truth, predicted = labels.dropna(), task.decode(output)["predicted_t"]
    found = task.metrics(output, target.values[target.mask])
    assert found["rmse"] == pytest.approx(np.sqrt(np.mean((truth - predicted) ** 2)), rel=1e-4)
    assert found["mae"] == pytest.approx(np.mean(np.abs(truth - predicted)), rel=1e-4)


def test_binary_loss_and_probability() -> None:
    task = fit("binary", "sold", pos_weight=3.0)
    loss = task.loss(torch.tensor([[2.0], [2.0]]), torch.tensor([1.0, 0.0]))
    p = 1 / (1 + math.exp(-2))
    assert loss.tolist() == pytest.approx([-3 * math.log(p), -math.log(1 - p)], rel=1e-5)
    decoded = task.decode(np.array([[2.0], [-2.0]]))
    assert decoded["predicted_t"].tolist() == ["yes", "no"]
    assert decoded["predicted_t_prob"].tolist() == pytest.approx([p, 1 - p])


def test_multiclass_loss_with_weights_and_smoothing() -> None:
    task = fit("multiclass", "kind", class_weights={"villa": 2.0}, label_smoothing=0.3)
    output = torch.tensor([[0.2, -1.0, 0.5]])
    log_p, weights = torch.log_softmax(output, 1)[0], torch.tensor([1.0, 1.0, 2.0])
    expected = -(0.7 * 2 * log_p[2] + 0.3 / 3 * (weights * log_p).sum())
    torch.testing.assert_close(task.loss(output, torch.tensor([2])), expected[None])


def test_metrics_are_scikit_learns() -> None:
    task = fit("multiclass", "kind")
    random = np.random.default_rng(0)
    output, values = random.normal(size=(90, 3)).astype("float32"), random.integers(0, 3, 90)
    found, probability = task.metrics(output, values), task.probability(output)
    predicted = probability.argmax(1)
    assert found["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(values, predicted))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(values, predicted, average="macro"))
    assert found["roc_auc"] == pytest.approx(metrics.roc_auc_score(values, probability, multi_class="ovr"))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(values, probability))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (["b", "a", None, "b"], ["a", "b"]),
        (["1", "0", None, "1"], [0, 1]),
        (["10", "9", None, "10"], [9, 10]),
        (["007", "008", None, "007"], ["007", "008"]),
        (["True", "False", None, "True"], [False, True]),
        ([1.0, 2.0, None, 1.0], [1, 2]),
        ([0.5, 1.5, None, 0.5], [0.5, 1.5]),
        ([True, False, None, True], [False, True]),
    ],
)
def test_class_labels_stay_the_users_own(written: list[Any], expected: list[Any]) -> None:
    table = pd.DataFrame({"t": written})
    for kind in ("binary", "multiclass"):
        task = components("task")[kind]().fit("t", table, np.arange(4))
        assert task.classes == expected
        assert [type(label) for label in task.classes] == [type(label) for label in expected]
        decoded = task.decode(np.array([[5.0], [-5.0]]) if kind == "binary" else np.eye(2)[::-1])["predicted_t"]
        assert decoded.tolist() == expected[::-1]


def test_mapping_keeps_the_types_it_maps_to() -> None:
    table = pd.DataFrame({"t": ["yes", "no", None, "yes"]})
    task = components("task")["binary"](mapping={"yes": 1, "no": 0}).fit("t", table, np.arange(4))
    assert task.classes == [0, 1]
    assert task.labels(table).tolist()[:2] == [1, 0]


@pytest.mark.parametrize("written", [["1.0", "0.0", None, "1.0"], [1.0, 0.0, None, 1.0], ["1", "0", None, "1"]])
def test_whole_numbers_beside_gaps_are_whole_numbers(written: list[Any]) -> None:
    table = pd.DataFrame({"t": written, "u": written})
    assert components("task")["binary"]().fit("t", table, np.arange(4)).classes == [0, 1]
    mapped = components("task")["regression"](mapping={"1": 10.0, "0": 5.0}).fit("t", table, np.arange(4))
    assert mapped.labels(table).tolist()[:2] == [10.0, 5.0]
    several = components("task")["multilabel"](target=["t", "u"]).fit("m", table, np.arange(4))
    assert several.labels(table).tolist()[:2] == ["t|u", "none"]


def test_a_class_of_no_training_row_does_not_flatter_the_skill() -> None:
    table = pd.DataFrame({"t": ["a", "b", "c"] * 10 + ["rare"]})
    task = components("task")["multiclass"]().fit("t", table, np.arange(30))
    assert task.unseen == ["rare"]
    assert -task.baseline[task.classes.index("rare")] < math.log(40)


def test_large_labels_keep_their_differences() -> None:
    task = components("task")["regression"]().fit("t", pd.DataFrame({"t": 1e9 + np.arange(10)}), np.arange(10))
    assert task.scale == pytest.approx(np.arange(10).std())


def test_multilabel_from_several_columns() -> None:
    table = pd.DataFrame({"a": [1, 0, 1, None], "b": [0, 0, 1, 1]})
    task = components("task")["multilabel"](target=["a", "b"]).fit("t", table, np.arange(4))
    labels = task.labels(table)
    assert labels.tolist()[:3] == ["a", "none", "a|b"]
    assert pd.isna(labels[3])
    assert task.encode(labels).values[:3].tolist() == [[1, 0], [0, 0], [1, 1]]
    decoded = task.decode(np.array([[3.0, -3.0]]))
    assert decoded["predicted_t"].tolist() == ["a"]
    assert set(decoded) == {"predicted_t", "predicted_t_prob_a", "predicted_t_prob_b"}


@pytest.mark.parametrize(
    ("kind", "labels", "keys", "message"),
    [
        ("regression", [None, None, None], {}, "tasks.t: all labels in column 't' are missing"),
        ("regression", [2, 2, 2], {}, "tasks.t: the label is constant over the training rows (2)"),
        ("regression", [1, "x", 3], {}, "tasks.t: 'x' in row 2 is not a finite number; for text labels use"),
        ("regression", [1, math.inf, 3], {}, "tasks.t: 'inf' in row 2 is not a finite number"),
        ("regression", [1, -2, 3], {"transform": "log1p"}, "tasks.t.transform: log1p of -2 in row 2"),
        ("regression", ["a", "b", "a"], {"mapping": {"a": 1.0}}, "tasks.t.mapping: has no entry for 'b'; it maps a"),
        ("binary", ["a", "a", "a"], {}, "tasks.t: has one class only, 'a'"),
        ("binary", ["a", "b", "c"], {}, "tasks.t: has 3 classes ('a', 'b', 'c'), not two; use kind: multiclass"),
        ("binary", ["a", "b", "a"], {"positive": "c"}, "tasks.t.positive: no label is 'c'"),
        ("binary", [1, "x", 3], {"at_least": 2}, "tasks.t.at_least: 'x' in row 2 is not a finite number"),
        ("binary", [1, 2, 3], {"at_least": 9}, "tasks.t: has one class only, 'False'"),
        ("multiclass", ["a", "a", None], {}, "tasks.t: has one class only, 'a'"),
        ("multiclass", ["a", "b", "a"], {"class_weights": {"c": 1.0}}, "tasks.t.class_weights.c: no class is 'c'"),
        ("multiclass", [None, None, None], {}, "tasks.t: all labels are missing"),
        ("multilabel", ["none", "none", "none"], {}, "tasks.t: no row carries a label"),
        ("multilabel", ["a", "a", "a|b"], {}, "tasks.t: every training row carries 'a'"),
    ],
)
def test_labels_that_cannot_be_learnt(kind: str, labels: list[Any], keys: dict[str, Any], message: str) -> None:
    table = pd.DataFrame({"t": pd.Series(labels, dtype="object")})
    with pytest.raises(UserError) as caught:
        components("task")[kind](**keys).fit("t", table, np.arange(3))
    assert str(caught.value).startswith(message)


def test_a_label_that_was_not_there_in_training() -> None:
    task = fit("multiclass", "kind")
    with pytest.raises(UserError, match=r"tasks.t: 'vila' in row 2 is not one of the classes; did you mean villa\?"):
        task.encode(pd.Series(["flat", "vila"]))


def test_measurements_are_no_classes() -> None:
    table = pd.DataFrame({"area": [f"{40 + i / 4}" for i in range(50)]})
    with pytest.raises(
        UserError, match="50 labels are 50 different numbers, such as 40.0, not classes; kind: regression"
    ):
        components("task")["multiclass"]().fit("area", table, np.arange(50))
    half_points = pd.DataFrame({"stars": [f"{0.5 * (i % 10)}" for i in range(50)]})
    assert components("task")["multiclass"]().fit("stars", half_points, np.arange(50)).outputs == 10


@pytest.mark.parametrize("kind", ["multiclass", "binary"])
def test_a_mapping_to_null_alone_leaves_the_other_labels(kind: str) -> None:
    table = pd.DataFrame({"t": ["a", "Unknown", "b", None, "a"]})
    task = components("task")[kind](mapping={"Unknown": None}).fit("t", table, np.arange(5))
    assert task.classes == ["a", "b"]
    assert task.encode(task.labels(table)).mask.tolist() == [True, False, True, False, True]
    found, unknown = task.known_labels(pd.DataFrame({"t": ["b", "Unknown", "c"]}))
    assert (found.isna().tolist(), unknown) == ([False, True, True], {"c": 1})


def test_a_mapping_to_null_alone_leaves_the_other_numbers() -> None:
    table = pd.DataFrame({"t": ["1.5", "-99", "2"]})
    task = components("task")["regression"](mapping={"-99": None}).fit("t", table, np.array([0, 2]))
    assert task.encode(task.labels(table)).mask.tolist() == [True, False, True]
