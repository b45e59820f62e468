"""The two-task toy problem: who gets from (9, 9) to the Pareto front, the first objective counting a tenth."""

from __future__ import annotations

import pytest

from tests.bench.toy import descend, evaluate, method, reached


@pytest.mark.parametrize("point", [(9.0, 9.0), (-3.0, -2.0), (2.0, 1.0), (-8.0, 0.5)])
def test_the_gradients_of_the_toy_problem(point: tuple[float, float]) -> None:
    step = 1e-6
    for axis in range(2):
        forward, back = (
            evaluate(point[0] + sign * step * (axis == 0), point[1] + sign * step * (axis == 1), 0.1).losses
            for sign in (1, -1)
        )
        for task in range(2):
            difference = (forward[task] - back[task]) / (2 * step)
            assert difference == pytest.approx(evaluate(*point, 0.1).gradients[task][axis], rel=1e-5, abs=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nash_mtl", "famo", "gradnorm", "imtl_g", "mgda"])
def test_methods_that_balance_reach_the_front(name: str) -> None:
    assert reached(descend(method(name), (9.0, 9.0), 25_000)[-1])


@pytest.mark.parametrize("name", ["uniform", "rlw"])
def test_methods_that_do_not_balance_stay_behind(name: str) -> None:
    assert not reached(descend(method(name), (9.0, 9.0), 25_000)[-1])
