"""Every kind of task declares the columns of its answers, and what stands in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mtl_cli.config.registry import components
from mtl_cli.tasks.answer_columns import KINDS, PREDICTION, PROBABILITY, ColumnKind
from mtl_cli.tasks.conformal import Conformal
from mtl_cli.tasks.post_hoc import PostHoc
from tests.tasks.test_kinds import CASES, IDS, fit

ROWS, MEMBERS = 7, 3


def answers(task: Any) -> dict[str, np.ndarray]:
    """Return all columns of some rows' answers."""
    noise = np.random.default_rng(0).normal(size=(MEMBERS, ROWS, task.outputs))
    outputs = (task.baseline + 0.1 * noise).astype("float32")
    found: dict[str, np.ndarray] = task.decode(outputs[0]) | task.spread(outputs) | task.interval_columns(outputs[0])
    curves = not task.couples or task.post_hoc.hazard is not None
    return found | (task.probabilities(outputs[0]) if curves else {})


@pytest.mark.parametrize(("kind", "column", "keys"), CASES, ids=IDS)
def test_all_columns_of_an_answer_are_declared(kind: str, column: str, keys: dict[str, Any]) -> None:
    task = fit(kind, column, **keys)
    if "interval" in components("task")[kind].post_hoc_keys:
        task.post_hoc = PostHoc(conformal=Conformal(0.9, 0.5))
    declared = {column.name: column.kind for column in task.answer_columns()}
    found = answers(task)
    assert found and set(found) <= set(declared)
    for name, values in found.items():
        if declared[name].holds == "probability":
            assert ((values >= 0) & (values <= 1)).all(), name
        elif declared[name].holds == "number":
            assert values.dtype.kind == "f", name


def test_names_of_tasks_and_classes_are_taken_as_they_are() -> None:
    assert PROBABILITY.named("{of} {task}") == "predicted_{of} {task}_prob"
    assert ColumnKind("{task}_prob_{of}", "probability", "").named("a", "{b}") == "a_prob_{b}"
    assert (PREDICTION.end(), PROBABILITY.end()) == ("", "_prob")
    assert len({kind.pattern for kind in KINDS}) == len(KINDS)
