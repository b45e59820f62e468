"""Temperature scaling and isotonic regression, on made outputs whose true probabilities are known."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mtl_cli.tasks.calibration import expected_calibration_error
from mtl_cli.tasks.links import sigmoid, softmax
from mtl_cli.tasks.post_hoc import PostHoc
from mtl_cli.tasks.recalibration import Isotonic, Temperature


def of_several(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return logits, and labels drawn from their softmax."""
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 3)) * 2
    return logits, (logits + random.gumbel(size=logits.shape)).argmax(1)


def of_two(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    logits = random.normal(size=(rows, 1)) * 2
    return logits, (random.random(rows) < sigmoid(logits[:, 0])).astype("float32")


@pytest.mark.parametrize("factor", [0.25, 1.0, 4.0])
def test_the_temperature_is_by_how_much_the_logits_are_too_large(factor: float) -> None:
    logits, labels = of_several(20_000, 0)
    assert Temperature.fit(factor * logits, labels, "softmax").temperature == pytest.approx(factor, rel=0.03)
    logits, labels = of_two(20_000, 1)
    assert Temperature.fit(factor * logits, labels, "sigmoid").temperature == pytest.approx(factor, rel=0.05)
    several = np.repeat(logits, 2, axis=1), np.repeat(labels[:, None], 2, axis=1)
    assert Temperature.fit(factor * several[0], several[1], "sigmoid").temperature == pytest.approx(factor, rel=0.05)


def test_a_temperature_has_the_least_likelihood_and_keeps_the_classes() -> None:
    logits, labels = of_several(500, 2)
    output = (3 * logits).astype("float32")
    fitted = Temperature.fit(output, labels, "softmax")
    scaled = fitted(output, "softmax")
    assert scaled.dtype == output.dtype and (scaled.argmax(1) == output.argmax(1)).all()

    def loss(temperature: float) -> float:
        return -np.log(softmax(output / temperature)[np.arange(500), labels]).mean()

    assert all(loss(fitted.temperature) < loss(fitted.temperature * by) for by in (0.97, 1.03))


def test_isotonic_regression_mends_what_no_temperature_can() -> None:
    logits, labels = of_two(20_000, 3)
    bent = (logits**3 / 4 + 1).astype("float32")
    hit, half = labels > 0.5, slice(10_000, None)
    errors = {}
    for method in (Temperature, Isotonic):
        fitted = method.fit(bent[:10_000], labels[:10_000], "sigmoid")
        found = sigmoid(fitted(bent, "sigmoid")[:, 0])
        errors[method] = expected_calibration_error(found[half], hit[half])
        assert np.abs(sigmoid(logits[half][:, 0]) - found[half]).mean() < (0.03 if method is Isotonic else 1)
    assert errors[Isotonic] < 0.02 < errors[Temperature]


def test_isotonic_probabilities_of_several_classes_add_up() -> None:
    logits, labels = of_several(6000, 4)
    output = (4 * logits).astype("float32")
    fitted = Isotonic.fit(output[:3000], labels[:3000], "softmax")
    found = softmax(fitted(output[3000:], "softmax"))
    np.testing.assert_allclose(found.sum(1), 1)
    assert found.min() > 0, "no loss is infinite"
    assert np.abs(found - softmax(logits[3000:])).mean() < 0.5 * np.abs(softmax(output) - softmax(logits)).mean()


def test_rows_without_an_answer_stay_so() -> None:
    logits, labels = of_several(100, 5)
    for method in (Temperature, Isotonic):
        fitted = method.fit(logits, labels, "softmax")
        assert np.isnan(fitted(np.full((2, 3), np.nan), "softmax")).all()


def test_the_state_is_json_and_comes_back() -> None:
    logits, labels = of_several(50, 6)
    for method in (Temperature, Isotonic):
        steps = PostHoc(recalibration=method.fit(logits, labels, "softmax"))
        assert PostHoc.restore(json.loads(json.dumps(steps.state()))) == steps
