"""A task's weight over the epochs."""

from __future__ import annotations

from typing import Any

import pytest

from mtl_cli.tasks.schedule import WeightSchedule


@pytest.mark.parametrize(
    ("keys", "weights"),
    [
        ({"to": 0.0, "last": 5}, [2, 1.5, 1, 0.5, 0, 0]),
        ({"to": 4.0, "first": 3, "last": 5}, [2, 2, 2, 3, 4, 4]),
        ({"to": 0.0, "last": 4, "shape": "step"}, [2, 2, 2, 0, 0, 0]),
        ({"to": 0.0, "last": 5, "shape": "cosine"}, [2, 1 + 2**-0.5, 1, 1 - 2**-0.5, 0, 0]),
    ],
)
def test_shapes(keys: dict[str, Any], weights: list[float]) -> None:
    schedule = WeightSchedule(**keys)
    assert [schedule.at(2.0, epoch) for epoch in range(1, 7)] == pytest.approx(weights)
