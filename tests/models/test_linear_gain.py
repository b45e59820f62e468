"""The gain of further inputs, against ridge regressions that are fitted anew without each row."""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import Ridge

from mtl_cli.models.linear_gain import LEAST_ROWS, PENALTIES, linear_gain
from mtl_cli.tasks.task import Target


def left_out(inputs: np.ndarray, y: np.ndarray) -> float:
    """Return 1 − mean squared error / variance, at the best penalty, by fitting without each row in turn."""
    every = np.arange(len(y))
    errors = [
        np.mean([
            (y[i] - Ridge(alpha=penalty).fit(inputs[every != i], y[every != i]).predict(inputs[i : i + 1])[0]) ** 2
            for i in every
        ])
        for penalty in PENALTIES
    ]  # fmt: skip
    return float(1 - min(errors) / y.var())


def test_the_gain_is_that_of_fits_without_each_row() -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(30, 2))
    further = np.hstack([inputs, inputs**2])
    labels = np.stack([inputs[:, 0] ** 2, inputs[:, 1] + random.normal(size=30)], 1)
    labels[:5] = np.nan
    other = random.normal(size=(30, 1))
    known = ~np.isnan(labels[:, 0])
    first = np.mean([
        left_out(further[known], column[known]) - left_out(inputs[known], column[known]) for column in labels.T
    ])  # fmt: skip
    second = left_out(further, other[:, 0]) - left_out(inputs, other[:, 0])
    found = linear_gain(inputs, further, [labels, other, np.ones((30, 1)), other])
    assert found is not None
    assert abs(found - (first + second + second) / 3) < 1e-8


def test_without_labels_there_is_no_gain_to_tell() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2))
    few = np.full((40, 1), np.nan)
    few[: LEAST_ROWS - 1] = rows[: LEAST_ROWS - 1, :1]
    assert linear_gain(rows, rows, [few, np.ones((40, 1))]) is None


def test_labels_as_columns() -> None:
    mask = np.array([True, True, False, True])
    classes = Target(np.array([2, 0, 0, 2]), mask).as_columns()
    np.testing.assert_array_equal(classes, [[0, 1], [1, 0], [np.nan, np.nan], [0, 1]])
    numbers = Target(np.array([0.5, 1.0, 0.0, -1.0]), mask).as_columns()
    np.testing.assert_array_equal(numbers, [[0.5], [1.0], [np.nan], [-1.0]])
