"""What a run's history is said to show."""

from __future__ import annotations

import math

import pytest

from mtl_cli.reports.advice import TRY, TRY_ANYWAY, advice

TASKS = ["a", "b"]


def history(*scores: float) -> dict[str, list[float]]:
    return {"epoch": list(range(1, len(scores) + 1)), "val_score": list(scores)}


def weights(*rows: tuple[float, float], first: int = 1) -> dict[str, list[float]]:
    columns = {f"weight_{name}": [row[i] for row in rows] for i, name in enumerate(TASKS)}
    return {"epoch": [float(first + i) for i in range(len(rows))], **columns}


def test_a_run_that_still_got_better_is_told_to_be_longer() -> None:
    assert advice(TASKS, history(0.1, 0.2, 0.3), {}, 3, True) == [
        "the best epoch was the last, 3: trainer.epochs=15 may help"
    ]
    assert advice(TASKS, history(0.1, 0.3, 0.2), {}, 3, True) == []
    assert advice(TASKS, history(0.1, 0.2, 0.3), {}, 200, True) == [], "it was stopped, and not by its epochs"
    assert advice(TASKS, {"epoch": [1, 2]}, {}, 2, True) == [], "no validation rows"
    assert advice(TASKS, history(math.nan, math.nan), {}, 2, True) == []


@pytest.mark.parametrize(("kind", "hint"), [*TRY.items(), ("joint", TRY_ANYWAY), (None, TRY_ANYWAY)])
def test_a_run_that_learnt_nothing_is_told_so_with_what_to_try(kind: str | None, hint: str) -> None:
    (line,) = advice(TASKS, history(-0.2, -0.013, -0.3), {}, 200, True, kind)
    what = "no epoch was better than a constant prediction on the validation rows (best score -0.013)"
    assert line == f"nothing was learnt: {what}; {hint}"
    assert advice(TASKS, history(-0.2, 0.013, -0.3), {}, 200, True, kind) == []
    (line,) = advice(TASKS, history(-0.3, -0.2), {}, 2, True, kind)
    assert line.startswith("the best epoch was the last"), "it still got better"


def test_weights_that_were_far_better_before_the_end() -> None:
    (line,) = advice(TASKS, history(0.2, 0.91, 0.76), {}, 3, False)
    assert line.startswith("epoch 2 was far better than the last, whose weights were kept (validation score 0.91, not")
    assert "early stopping is off" in line
    assert advice(TASKS, history(0.2, 0.91, 0.9), {}, 3, False) == [], "no far better"
    assert advice(TASKS, history(0.2, 0.91, 0.76), {}, 3, True) == [], "the best was kept"


def test_a_task_that_took_all_the_weight() -> None:
    taken = weights((1, 1), (2, 1), (5e24, 1), (5e24, 2), (9e24, 1))
    (line,) = advice(TASKS, {}, taken, 5, True)
    assert line.startswith("task a took over 99.99 % of the weight since epoch 3")
    (line,) = advice(TASKS, {}, weights((1, 1), (1, 1999), (1, 3999)), 5, True)
    assert line.startswith("task b took 99.95 % of the weight since epoch 2")
    assert advice(TASKS, {}, weights((5e24, 1), (1, 1)), 5, True) == [], "not to the end"
    assert advice(["a"], {}, {"epoch": [1.0], "weight_a": [1.0]}, 5, True) == [], "one task has all of it"
    assert advice(TASKS, {}, weights((1, 1), (math.nan, 1)), 5, True) == []
