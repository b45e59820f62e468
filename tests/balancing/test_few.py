"""The methods that compute with floats on the CPU make the same of tensors, as they do on other devices."""

import math

import pytest
import torch

from mtl_cli.balancing.base import StepStatistics
from mtl_cli.balancing.floats import Floats
from mtl_cli.config.registry import components

CPU, LATER = torch.device("cpu"), torch.tensor([0.9, 0.5, 0.7])
METHODS = ["famo", "gradnorm", "imtl_l", "uw"]


def statistics(step, missing):
    generator = torch.Generator().manual_seed(step)
    losses, norms = torch.rand(2, 3, generator=generator) + 0.1
    present = torch.tensor([True, step % 2 == 1, step > 2]) if missing else None
    return StepStatistics(losses if present is None else losses * present, present, norms)


def assert_same(found, expected):
    for name, value in expected.items():
        torch.testing.assert_close(found[name].to(value), value, rtol=1e-4, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_floats_and_tensors_make_the_same(name, missing):
    method = components("balancer")[name]()
    state = method.init_state(["a", "b", "c"], CPU)
    other = dict(state)
    for step in range(6):
        seen = statistics(step, missing)
        found = method.decide(state, seen)
        expected = type(method).decide.__wrapped__(method, torch, other, seen)
        torch.testing.assert_close(found.weights, expected.weights)
        assert_same(found.seen, expected.seen)
        assert_same(found.state, expected.state)
        state, other = found.state, expected.state
        if method.looks_ahead:
            state = method.after(state, seen.losses * LATER)
            other = type(method).after.__wrapped__(method, torch, other, seen.losses * LATER)
            assert_same(state, other)


def test_what_floats_cannot_say_is_left_to_tensors():
    """Where all losses are 0, none trains faster than the others: the rates are torch's NaN."""
    method = components("balancer")["gradnorm"]()
    state = {**method.init_state(["a", "b"], CPU), "initial_losses": torch.ones(2)}
    seen = StepStatistics(torch.zeros(2), None, torch.ones(2))
    found = method.decide(state, seen)
    expected = type(method).decide.__wrapped__(method, torch, state, seen)
    assert_same(found.seen, expected.seen)
    assert found.seen["rate"].isnan().all()
    assert found.state["weights"].isfinite().all()


@pytest.mark.parametrize(
    "operation",
    [
        lambda x: x / 0.0,
        lambda x: 1.0 / (x - x),
        lambda x: Floats.log(x - 1.0),
        lambda x: Floats.exp(1e4 * x),
        lambda x: (x - 3.0) ** 0.5,
    ],
)
def test_floats_raise_where_tensors_would_go_on(operation):
    with pytest.raises(ArithmeticError):
        operation(Floats([1.0, 2.0]))


def test_floats_keep_nan_and_infinity_that_came_in():
    numbers = Floats([math.nan, math.inf])
    assert math.isnan((2 * numbers).values[0])
    assert Floats.exp(-numbers).values[1] == 0
    assert Floats.isnan(numbers).values == [True, False]
