"""What linear models read of texts and families, and what they make of it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfTransformer

from mtl_cli.data.inputs import DenseRows, InputRows
from mtl_cli.data.sequences.rows import TokenRows
from mtl_cli.data.text.rows import text_rows
from mtl_cli.data.text.words import numbers_of
from mtl_cli.models import text_linear
from mtl_cli.models.family_linear import FamilyInputs
from mtl_cli.models.linear import LinearInputs, LinearModels
from mtl_cli.models.text_linear import TextInputs

WORDS = [["a", "b", "a", "b"], [], ["b"], ["c", "a"]]
FEATURES = np.array([[0, 1], [0, 0], [5, 1], [-2, 0]], "float32")
REFERENCE = [3, 1, 2, 9, 9, 4]


@pytest.fixture(autouse=True)
def few_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_linear, "BUCKETS", 50)


def texts(features: bool = True) -> tuple[LinearInputs, InputRows]:
    rows, reads = text_rows(WORDS), TextInputs(2 * features)
    rows = rows.beside(DenseRows(FEATURES)) if features else rows
    for chunk in rows.chunks():
        reads.count_inputs(rows.take(chunk))
    return reads, rows


def family() -> tuple[LinearInputs, InputRows]:
    """The reference, a substitution, two of them, an insertion and a deletion."""
    rows = [REFERENCE, [3, 7, 2, 9, 9, 4], [5, 1, 2, 9, 9, 7], [3, 1, 2, 8, 9, 9, 4], [3, 1, 2, 9, 4]]
    tokens = torch.cat([torch.tensor(row, dtype=torch.uint8) for row in rows])
    return FamilyInputs(REFERENCE, 10), TokenRows(tokens, np.array([len(row) for row in rows]))


@pytest.mark.parametrize("made", [texts, lambda: texts(False), family])
def test_what_is_said_of_rows_is_the_table_times_the_weights(
    made: Callable[[], tuple[LinearInputs, InputRows]],
) -> None:
    reads, rows = made()
    linear, random = LinearModels(reads, {"a": 1, "b": 3}), np.random.default_rng(0)
    weight, intercept = random.normal(size=(reads.columns, 4)), random.normal(size=4)
    linear.set_task("a", weight[:, :1], intercept[:1])
    linear.set_task("b", weight[:, 1:], intercept[1:])
    table = reads.table(rows)
    assert table.shape == (len(rows), reads.columns)
    expected = torch.from_numpy(table @ weight + intercept).float()
    found = linear(rows.take(slice(None)))
    torch.testing.assert_close(torch.cat([found["a"], found["b"]], 1), expected, atol=1e-5, rtol=1e-5)
    alone = linear(rows.take(torch.tensor([2])))
    torch.testing.assert_close(alone["b"][0], found["b"][2], atol=1e-5, rtol=1e-5)


def test_texts_have_the_weights_of_scikit_learn_and_features_stand_behind_them() -> None:
    reads, rows = texts()
    assert isinstance(reads, TextInputs)
    grams, _ = rows.take(slice(None))
    places, found = reads.counted(grams)
    counts = torch.zeros(4, 50).scatter_add_(1, places, found.float())
    pairs = [len(text) + 1 if text else 0 for text in WORDS]  # a text's ends are of one too
    assert counts.sum(1).tolist() == [
        sum(len(numbers_of(word)) for word in text) + more for text, more in zip(WORDS, pairs, strict=True)
    ]
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts.numpy()).toarray()
    table = reads.table(rows).toarray()
    np.testing.assert_allclose(table[:, :50], weights, atol=1e-6)
    np.testing.assert_array_equal(table[:, 50:], FEATURES)


def test_a_family_has_columns_of_residues_at_places_and_of_places() -> None:
    reads, rows = family()
    table = reads.table(rows).toarray()
    assert set(np.unique(table)) == {0, 1}
    assert table.sum(1).tolist() == [0, 2, 4, 2, 2]
    places = table[:, -len(REFERENCE) - 1 :]
    assert [np.flatnonzero(row).tolist() for row in places] == [[], [1], [0, 5], [3], [3]]
    assert len({tuple(np.flatnonzero(row)) for row in table}) == 5


def test_outputs_are_mixed_by_shares_and_those_of_other_tasks_are_left() -> None:
    reads, rows = family()
    linear = LinearModels(reads, {"a": 1})
    linear.set_task("a", np.ones((reads.columns, 1)), np.array([2.0]))
    inputs = rows.take(slice(None))
    outputs = {"a": torch.full((5, 1), 10.0), "token": torch.zeros(5, 6, 3)}
    for share in (0.0, 0.25, 1.0):
        linear.shares[0] = share
        found = linear.mixed(outputs, inputs)
        expected = (1 - share) * outputs["a"] + share * torch.tensor([[2.0], [4.0], [6.0], [4.0], [4.0]])
        torch.testing.assert_close(found["a"], expected)
        assert found["token"] is outputs["token"]
