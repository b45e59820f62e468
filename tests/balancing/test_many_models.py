"""Every method decides for a stack of models as it does for each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch

from mtl_cli.balancing.base import Balancer, Decision, State, StepStatistics
from mtl_cli.balancing.scale import to_sum
from mtl_cli.config.registry import components
from tests.balancing.weightings import CPU, drawn

TASKS, WIDTH, STACK = ["a", "b", "c"], 7, (2, 2)
PLACES = list(torch.cartesian_prod(*map(torch.arange, STACK)).tolist())


def stacked(tensors: Iterable[torch.Tensor]) -> torch.Tensor:
    found = torch.stack(list(tensors))
    return found.reshape(*STACK, *found.shape[1:])


def stacked_state(states: list[State]) -> State:
    return {name: stacked(state[name] for state in states) for name in states[0]}


def one_model(method: Balancer, step: int, generator: torch.Generator) -> StepStatistics:
    """Return what a model sees in a step: some tasks without a label, at times all."""
    present = torch.rand(3, generator=generator) < (0.7 if step else 2.0)
    losses = (torch.rand(3, generator=generator) + 0.1) * present
    jacobian = torch.randn(3, WIDTH, generator=generator) * present[:, None]
    return drawn(
        method,
        generator,
        StepStatistics(
            losses,
            present,
            norms=jacobian.norm(dim=1),
            gramian=jacobian @ jacobian.T,
            jacobian=jacobian,
            epoch=1 + step // 3,
            step=step,
        ),
    )


def together(each: list[StepStatistics]) -> StepStatistics:
    tensors = {
        name: stacked(getattr(one, name) for one in each)
        for name in ("losses", "present", "norms", "gramian", "jacobian", "draws")
        if getattr(each[0], name) is not None
    }
    return each[0]._replace(**tensors)


def assert_same(found: Decision, each: list[Decision]) -> None:
    close: Callable[..., None] = lambda a, b: torch.testing.assert_close(a, b, equal_nan=True)  # noqa: E731
    close(found.weights, stacked(one.weights for one in each))
    for name in ("state", "columns"):
        expected = [getattr(one, name) for one in each]
        assert getattr(found, name).keys() == expected[0].keys()
        for key, value in getattr(found, name).items():
            close(value, stacked(one[key] for one in expected))
    for name in ("direction", "head_weights"):
        value, expected = getattr(found, name), [getattr(one, name) for one in each]
        assert (value is None) == (expected[0] is None)
        if value is not None:
            close(value, stacked(expected))


@pytest.mark.parametrize("name", components("balancer"))
def test_a_stack_of_models_is_balanced_as_each_of_them(name: str) -> None:
    settings: dict[str, Any] = {"stch": {"warmup_epochs": 2}, "excess_mtl": {"warmup_epochs": 1}}.get(name, {})
    method = components("balancer")[name](**settings)
    generator = torch.Generator().manual_seed(0)
    states = [method.init_state(TASKS, CPU) for _ in PLACES]
    state = stacked_state(states)
    for step in range(12):
        each = [one_model(method, step, generator) for _ in PLACES]
        decisions = [method.decide(own, one) for own, one in zip(states, each, strict=True)]
        decision, seen = method.decide(state, together(each)), together(each)
        assert_same(decision, decisions)
        summed = [to_sum(decided, one.present) for decided, one in zip(decisions, each, strict=True)]
        assert_same(to_sum(decision, seen.present), summed)
        states, state = [decided.state for decided in decisions], decision.state
        if method.looks_ahead:
            states = [method.after(own, 0.9 * one.losses) for own, one in zip(states, each, strict=True)]
            state = method.after(state, 0.9 * seen.losses)
            for key, value in stacked_state(states).items():
                torch.testing.assert_close(state[key], value)


@pytest.mark.parametrize("name", components("balancer"))
def test_a_decision_changes_nothing_that_it_was_given(name: str) -> None:
    method = components("balancer")[name]()
    generator = torch.Generator().manual_seed(0)
    state = method.init_state(TASKS, CPU)
    for step in range(3):
        seen = one_model(method, step, generator)
        kept = {key: value.clone() for key, value in state.items()}
        first, second = method.decide(state, seen), method.decide(state, seen)
        torch.testing.assert_close(dict(state), kept, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(first.weights, second.weights, rtol=0, atol=0)
        state = first.state
