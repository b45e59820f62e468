"""What is compared of runs, and which of two numbers is the better one."""

from __future__ import annotations

import pytest

from mtl_cli.studies.measures import SCORE, Measure, of_task


@pytest.mark.parametrize("metric", ["loss", "rmse", "log_loss", "pinball"])
def test_less_of_an_error_or_a_loss_is_better(metric: str) -> None:
    assert of_task("price", metric).sign == -1


@pytest.mark.parametrize("measure", [Measure(SCORE), of_task("sold", "accuracy"), of_task("sold", "skill")])
def test_more_of_a_skill_is_better(measure: Measure) -> None:
    assert measure.sign == 1
