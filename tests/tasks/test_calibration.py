"""Expected calibration error on cases known by hand."""

import numpy as np
import pytest

from mtl_cli.tasks.calibration import expected_calibration_error, wilson_interval


def test_perfect_calibration() -> None:
    confidence = np.array([0.25] * 4 + [0.75] * 4)
    hit = np.array([1, 0, 0, 0, 1, 1, 1, 0])
    assert expected_calibration_error(confidence, hit) == pytest.approx(0)


def test_overconfidence() -> None:
    assert expected_calibration_error(np.full(10, 0.95), np.arange(10) < 6) == pytest.approx(0.35)


def test_bins_are_weighed_by_their_rows() -> None:
    confidence = np.array([1.0] * 3 + [0.5])
    assert expected_calibration_error(confidence, np.array([1, 1, 1, 1])) == pytest.approx(0.25 * 0.5)


def test_the_wilson_interval_is_that_of_scipy() -> None:
    from scipy.stats import binomtest

    hits, count = np.array([0, 1, 5, 40, 100]), np.array([3, 1, 9, 80, 100])
    low, high = wilson_interval(hits / count, count)
    expected = [binomtest(int(k), int(n)).proportion_ci(method="wilson") for k, n in zip(hits, count, strict=True)]
    assert low == pytest.approx([each.low for each in expected], abs=1e-12)
    assert high == pytest.approx([each.high for each in expected], abs=1e-12)
