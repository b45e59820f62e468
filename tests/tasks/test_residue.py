"""A class per residue: closed forms, and that neither padding nor missing labels count."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics
from torch.nn import functional as F

from mtl_cli.config.errors import UserError
from mtl_cli.tasks.kinds.residue import Residue, ResidueTask
from mtl_cli.tasks.links import softmax

TABLE = pd.DataFrame({"ss": ["HHEEC", "H-C", None, "---", "EC.H"]})
EVERY = np.arange(5)


def fit(**keys) -> ResidueTask:
    return Residue(**keys).fit("ss", TABLE, EVERY)


def test_classes_counts_and_the_best_constant() -> None:
    task = fit()
    assert task.classes == ["C", "E", "H"]
    target = task.encode(task.labels(TABLE))
    assert target.values.tolist() == [
        [2, 2, 1, 1, 0], [2, -1, 0, -1, -1], [-1] * 5, [-1] * 5, [1, 0, -1, 2, -1],
    ]  # fmt: skip
    assert target.values.dtype == np.int8
    assert target.mask.tolist() == [True, True, False, False, True]
    assert target.weights.tolist() == [5, 2, 0, 0, 3]
    np.testing.assert_allclose(np.exp(task.baseline), np.array([3, 3, 4]) / 10, rtol=1e-6)


@pytest.mark.parametrize("class_weights", [None, "balanced", {"H": 3.0}])
def test_the_masked_mean_of_rows_is_the_mean_over_residues(class_weights) -> None:
    task = fit(class_weights=class_weights)
    target = task.encode(task.labels(TABLE))
    output = torch.randn(5, 5, 3, generator=torch.Generator().manual_seed(0))
    values = torch.from_numpy(target.values)
    weights = torch.from_numpy(target.weights)
    found = (task.loss(output, values) * weights).sum() / weights.sum()
    there = values >= 0
    each = F.cross_entropy(output[there], values[there].long(), reduction="none")
    if class_weights is not None:
        each = each * torch.tensor(task.class_weights)[values[there].long()]
    torch.testing.assert_close(found, each.mean())
    assert task.loss(output, values)[2:4].tolist() == [0, 0]


def test_the_best_constant_is_the_best() -> None:
    task = fit(class_weights={"E": 4.0})
    target = task.encode(task.labels(TABLE))
    values, weights = torch.from_numpy(target.values), torch.from_numpy(target.weights)

    def loss(constant: torch.Tensor) -> torch.Tensor:
        return (task.loss(constant.expand(5, 5, 3), values) * weights).sum() / weights.sum()

    best = torch.from_numpy(task.baseline).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(best), best)
    assert gradient.abs().max() < 1e-6


def test_places_beyond_a_rows_end_count_for_nothing_whatever_is_there() -> None:
    """Outputs may be longer or shorter than the targets, and are NaN where a row has ended."""
    task = fit()
    target = torch.from_numpy(task.encode(task.labels(TABLE)).values)
    output = torch.randn(5, 5, 3)
    padded = F.pad(output, (0, 0, 0, 4), value=float("nan"))
    padded[1, 3:], padded[4, 4:] = float("nan"), float("nan")
    torch.testing.assert_close(task.loss(padded, target), task.loss(output, target))
    torch.testing.assert_close(task.monitor(padded, target), task.monitor(output, target))
    torch.testing.assert_close(task.loss(output[1:2, :3], target[1:2]), task.loss(output, target)[1:2])
    rows = np.array([0, 1, 4])
    assert task.metrics(padded.numpy()[rows], target.numpy()[rows]) == task.metrics(
        output.numpy()[rows], target.numpy()[rows]
    )


def test_predictions_are_texts_of_each_sequences_length() -> None:
    task = fit()
    output = np.full((2, 4, 3), np.nan, dtype="float32")
    output[0, :4], output[1, :2] = np.eye(3)[[2, 2, 0, 1]] * 5, np.eye(3)[[1, 0]] * 1
    found = task.decode(output)
    assert found["predicted_ss"].tolist() == ["HHCE", "EC"]
    expected = [softmax(np.eye(3)[:1] * scale).max() for scale in (5, 1)]
    np.testing.assert_allclose(found["predicted_ss_prob"], expected, rtol=1e-6)


def test_metrics_are_scikit_learns_over_residues() -> None:
    task = fit()
    values = task.encode(task.labels(TABLE)).values
    output = np.random.default_rng(0).normal(size=(5, 5, 3)).astype("float32")
    found, there = task.metrics(output, values), values >= 0
    truth, probability = values[there], softmax(output[there])
    assert found["residues"] == 10
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(truth, probability.argmax(1)))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(truth, probability.argmax(1), average="macro"))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(truth, probability, labels=[0, 1, 2]))
    assert float(task.monitor(torch.from_numpy(output), torch.from_numpy(values))) == pytest.approx(found["accuracy"])


def test_eight_states_become_three_by_a_mapping() -> None:
    table = pd.DataFrame({"ss": ["HGI-EB", "ST-HHE"]})
    mapping = {**dict.fromkeys("HGI", "H"), **dict.fromkeys("EB", "E"), **dict.fromkeys("ST", "C")}
    task = Residue(mapping=mapping).fit("ss", table, np.arange(2))
    assert task.labels(table).tolist() == ["HHH-EE", "CC-HHE"]
    with pytest.raises(UserError, match="tasks.ss.mapping: has no entry for 'B'"):
        Residue(mapping={old: new for old, new in mapping.items() if old != "B"}).fit("ss", table, np.arange(2))


def test_a_state_that_was_not_there_is_named() -> None:
    with pytest.raises(UserError) as caught:
        fit().encode(pd.Series(["HH", "HZE"], index=[3, 4]))
    assert str(caught.value) == "tasks.ss: 'Z' at position 2 of row 5 is not one of the classes CEH"


@pytest.mark.parametrize(
    ("labels", "message"),
    [(["HHH", "H-"], "has one class only, 'H'"), (["--", None], "has no label")],
)
def test_what_cannot_be_learnt_is_refused(labels: list, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Residue().fit("ss", pd.DataFrame({"ss": labels}), np.arange(2))


def test_classes_that_training_lacks_are_kept_and_told() -> None:
    task = Residue().fit("ss", TABLE.assign(ss=["HHEE", "HE", "EH", "HC", "HE"]), np.array([0, 1, 2]))
    assert task.unseen == ["C"]
    assert np.isfinite(task.baseline).all()


def test_a_state_of_plain_values_brings_the_task_back() -> None:
    task = fit(class_weights="balanced", missing="-.")
    assert Residue.restore(task.state()) == task
