"""What features add to single predictions; needs captum and shap, which are extras."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mtl_cli.inference.explain.attribution import Attribution, attributions
from mtl_cli.inference.trained import TrainedModel


@pytest.fixture(scope="module")
def model(planted_run: Path) -> TrainedModel:
    return TrainedModel.load(str(planted_run))


def of_price(found: list[Attribution]) -> dict[str, float]:
    return {one.feature.name: one.value for one in found if one.task == "price"}


def test_integrated_gradients_add_up_and_find_what_was_planted(model: TrainedModel) -> None:
    pytest.importorskip("captum")
    examples = model.test_rows(print)[0]
    values = of_price(attributions(model, examples, [3], "integrated-gradients"))
    row = examples.table.iloc[3]
    said = model.predict(examples, print)["predicted_price"].to_numpy()
    inputs = examples.inputs.dense()
    mean = inputs.replaced(range(model.reader.spec.width), inputs.take(slice(0, len(inputs))).mean(0))  # type: ignore[union-attr]
    at_mean = model.tasks["price"].decode(model.outputs(mean)["price"])["predicted_price"][0]
    assert sum(values.values()) == pytest.approx(said[3] - at_mean, abs=0.02)
    expected = 2 * (row["a"] - examples.table["a"].mean())
    assert values["a"] == pytest.approx(expected, abs=0.5)


def test_shapley_values_add_up_and_leave_idle_columns_out(model: TrainedModel) -> None:
    pytest.importorskip("shap")
    examples = model.test_rows(print)[0].select(np.arange(40))
    found = attributions(model, examples, [0], "shap")
    values, said = of_price(found), model.predict(examples, print)["predicted_price"]
    assert sum(values.values()) == pytest.approx(said.iloc[0] - said.mean(), abs=1e-3)
    assert max(abs(values[name]) for name in ("noise", "word")) < 0.2 * abs(values["a"])
    sold = [one for one in found if one.task == "sold"]
    assert {one.output for one in sold} == {"yes"} and len(sold) == len(values)
