"""The two-task toy problem: who gets from (9, 9) to the Pareto front, the first objective counting a tenth."""

from __future__ import annotations

import pytest
import torch

from tests.bench.toy import STEPS, descend, evaluate, method, reached


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


def test_the_gradients_where_the_halves_meet() -> None:
    """At x₂ = 0 the authors' code, with torch.clamp, has the slopes of both halves."""
    x = torch.zeros(2, requires_grad=True)
    first = ((0.5 * (-x[0] - 7) - torch.tanh(-x[1])).abs()).log() + 6
    second = ((0.5 * (-x[0] + 3) + torch.tanh(-x[1]) + 2).abs()).log() + 6
    above, below = torch.clamp(torch.tanh(x[1] / 2), 0), torch.clamp(torch.tanh(-x[1] / 2), 0)
    squares = [((-x[0] + side) ** 2 + 0.1 * (-x[1] - 8) ** 2) / 10 - 20 for side in (7, -7)]
    objectives = (0.1 * (first * above + squares[0] * below), second * above + squares[1] * below)
    found = evaluate(0.0, 0.0, 0.1)
    for objective, gradient, known in zip(objectives, found.gradients, (1.0856, 10.8564), strict=True):
        expected = torch.autograd.grad(objective, x, retain_graph=True)[0].tolist()
        assert gradient == pytest.approx(expected, rel=1e-6)
        assert gradient == pytest.approx((0.0, known), abs=1e-4)


@pytest.mark.slow
def test_mgda_needs_more_than_25_000_steps_from_the_left() -> None:
    assert reached(descend(method("mgda"), (-8.5, 7.5), STEPS)[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nash_mtl", "famo", "gradnorm", "imtl_g", "mgda"])
def test_methods_that_balance_reach_the_front(name: str) -> None:
    assert reached(descend(method(name), (9.0, 9.0), 25_000)[-1])


@pytest.mark.parametrize("name", ["uniform", "rlw"])
def test_methods_that_do_not_balance_stay_behind(name: str) -> None:
    assert not reached(descend(method(name), (9.0, 9.0), STEPS)[-1])
