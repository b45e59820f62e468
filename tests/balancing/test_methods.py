"""Weights of the Gramian methods against reference values and closed forms, and what they do at the edges."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from mtl_cli.config.registry import components
from tests.balancing.gramians import AGREEING, BASE, SETTINGS, THREE, gramian, independent_gradients
from tests.balancing.weightings import (
    METHODS,
    conflict_free_weights,
    drawn,
    imtl_g_weights,
    in_order,
    mgda_weights,
    nash_mtl_weights,
    pcd_weights,
    pcgrad_weights,
    seen,
    upgrad_weights,
)


@pytest.mark.parametrize(
    ("method", "jacobian", "expected", "tolerance"),
    [  # TorchJD 0.18's figures; its regularised or unfinished solvers differ from the exact ones in the third digit
        ("upgrad", BASE, [1.1109, 0.7894], 5e-4),
        ("dualproj", BASE, [0.6109, 0.5], 5e-4),
        ("mgda", BASE, [0.6, 0.4], 1e-4),
        ("cagrad 0.5", BASE, [0.7041, 0.5], 1e-4),
        ("imtl_g", BASE, [0.5923, 0.4077], 1e-4),
        ("aligned_mtl", BASE, [0.5591, 0.4083], 1e-4),
        ("fairgrad 1", BASE, [0.5915, 0.4071], 1e-4),
        ("fairgrad 2", BASE, [0.4714, 0.3195], 1e-4),
        ("nash_mtl", BASE, [0.5915, 0.4071], 1e-4),
        ("upgrad", THREE, [0.5009, 1.2092, 0.5469], 2e-3),
        ("dualproj", THREE, [0.3333, 0.694, 0.3333], 1e-3),
        ("mgda", THREE, [0.1921, 0.5702, 0.2377], 4e-3),
        ("cagrad 0.5", THREE, [0.3333, 0.6319, 0.3333], 1e-4),
        ("imtl_g", THREE, [0.1874, 0.5629, 0.2497], 1e-4),
        ("aligned_mtl", THREE, [0.1932, 0.4212, 0.2098], 1e-4),
        ("fairgrad 1", THREE, [0.4609, 1.1703, 0.5087], 1e-4),
        ("fairgrad 2", THREE, [0.3878, 1.0598, 0.4513], 1e-4),
        ("nash_mtl", THREE, [0.4609, 1.1703, 0.5087], 1e-4),
        ("upgrad", AGREEING, [0.5, 0.5], 1e-9),
        ("dualproj", AGREEING, [0.5, 0.5], 1e-9),
        ("mgda", AGREEING, [1.0, 0.0], 1e-9),
        ("cagrad 0.5", AGREEING, [1.962, 0.5], 1e-3),
        ("nash_mtl", AGREEING, [0.3336, 0.0665], 1e-4),
    ],
)
def test_reference_weights(method: str, jacobian: torch.Tensor, expected: list[float], tolerance: float) -> None:
    found = METHODS[method](gramian(jacobian))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=tolerance)


def test_reference_directions() -> None:
    for jacobian, values in ((BASE, [0.1588, 2.0706, 2.0706]), (THREE, [0.4082, 0.4171, 2.257, 1.2339])):
        direction = conflict_free_weights(gramian(jacobian)) @ jacobian
        torch.testing.assert_close(direction, torch.tensor(values, dtype=torch.float64), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        pcgrad_weights(gramian(BASE), in_order(2)),
        torch.tensor([2.2222, 1.5789], dtype=torch.float64),
        rtol=0,
        atol=1e-4,
    )
    ones = gramian(BASE).diagonal().add(1e-8).rsqrt()
    torch.testing.assert_close(
        pcd_weights(gramian(BASE), ones, 0, 0.02),
        torch.tensor([1.8481, 1.0954], dtype=torch.float64),
        rtol=0,
        atol=1e-4,
    )


@SETTINGS
@given(independent_gradients())
def test_two_tasks_have_closed_forms(jacobian: torch.Tensor) -> None:
    jacobian = jacobian[:2]
    (g1, g2), (n1, n2) = jacobian, jacobian.norm(dim=1)
    cosine = g1 @ g2 / (n1 * n2)
    nash = torch.stack([1 / (n1 * (1 + cosine).sqrt()), 1 / (n2 * (1 + cosine).sqrt())])
    torch.testing.assert_close(nash_mtl_weights(gramian(jacobian)), nash)
    torch.testing.assert_close(imtl_g_weights(gramian(jacobian)), torch.stack([n2, n1]) / (n1 + n2))
    share = ((n2**2 - g1 @ g2) / (g1 - g2).square().sum()).clamp(0, 1)
    torch.testing.assert_close(mgda_weights(gramian(jacobian)), torch.stack([share, 1 - share]))
    bisector = torch.nn.functional.normalize(g1 / n1 + g2 / n2, dim=0)
    expected = (jacobian @ bisector).sum() * bisector
    torch.testing.assert_close(conflict_free_weights(gramian(jacobian)) @ jacobian, expected)
    torch.testing.assert_close(upgrad_weights(gramian(jacobian)), pcgrad_weights(gramian(jacobian), in_order(2)) / 2)


GRAMIAN_METHODS = [name for name, cls in components("balancer").items() if cls.needs == "gramian"]


@pytest.mark.parametrize("name", GRAMIAN_METHODS)
def test_one_task_and_no_gradient_leave_finite_weights(name: str) -> None:
    method = components("balancer")[name]()
    for matrix in (torch.ones(1, 1), torch.zeros(1, 1), torch.zeros(3, 3), torch.diag(torch.tensor([0.0, 1.0, 4.0]))):
        tasks = [str(task) for task in range(len(matrix))]
        statistics = drawn(method, torch.Generator(), seen(torch.ones(len(tasks)), gramian=matrix))
        decision = method.decide(method.init_state(tasks, torch.device("cpu")), statistics)
        assert decision.weights.isfinite().all()


@pytest.mark.parametrize("name", GRAMIAN_METHODS)
def test_absent_tasks_sit_out(name: str) -> None:
    method = components("balancer")[name]()
    whole = gramian(torch.randn(4, 9, generator=torch.Generator().manual_seed(0)))
    present = torch.tensor([True, False, True, True])
    masked = whole * present * present[:, None]
    state = method.init_state(list("abcd"), torch.device("cpu"))

    statistics = drawn(method, torch.Generator().manual_seed(1), seen(torch.ones(4), present, gramian=masked))
    decision = method.decide(state, statistics)
    draws = None if statistics.draws is None else statistics.draws[present][:, present]
    without = seen(torch.ones(3), gramian=whole[present][:, present], draws=draws)
    small = method.decide(method.init_state(list("acd"), torch.device("cpu")), without)
    torch.testing.assert_close(decision.weights[present], small.weights)
    assert decision.weights[1] == state["weights"][1]
    for key, value in decision.state.items():
        if value.shape[:1] == (4,):
            torch.testing.assert_close(value[1], state[key][1], msg=f"the state {key} of an absent task")


@pytest.mark.parametrize("name", GRAMIAN_METHODS)
def test_a_gramian_that_is_not_finite_gives_weights_that_are_not(name: str) -> None:
    method = components("balancer")[name]()
    matrix = torch.tensor([[1.0, torch.nan], [torch.nan, 1.0]])
    statistics = drawn(method, torch.Generator(), seen(torch.ones(2), gramian=matrix))
    decision = method.decide(method.init_state(["a", "b"], torch.device("cpu")), statistics)
    assert decision.weights.isnan().all()


def test_conflict_free_directions_that_do_not_exist() -> None:
    """Three gradients at 120 degrees: no direction has a positive angle to all, and rounding must not invent one."""
    angles = torch.arange(3, dtype=torch.float64) * 2 * torch.pi / 3
    jacobian = torch.stack([angles.cos(), angles.sin()], 1) * torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    for dtype in (torch.float32, torch.float64):
        method = components("balancer")["conflict_free"]()
        statistics = seen(torch.ones(3), gramian=gramian(jacobian.to(dtype)))
        weights = method.decide(method.init_state(list("abc"), torch.device("cpu")), statistics).weights
        assert torch.equal(weights, torch.zeros(3))


def test_nash_mtl_shortens_also_where_the_gradients_vanish() -> None:
    generator = torch.Generator().manual_seed(0)
    method = components("balancer")["nash_mtl"](max_norm=1.0)
    for _ in range(100):
        jacobian = torch.randn(3, 5, generator=generator, dtype=torch.float64)
        jacobian[2] = -jacobian[:2].sum(0)
        weights = torch.from_numpy(method.solve(gramian(jacobian).numpy()))
        assert (weights > 0).all()
        assert (weights @ jacobian).norm() <= 1 + 1e-9
