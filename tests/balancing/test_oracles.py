"""Every method that remembers something, over many steps in some of which tasks have no label, against its paper."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mtl_cli.balancing.base import Decision, StepStatistics
from mtl_cli.config.registry import components
from tests.balancing import oracles
from tests.balancing.weightings import CPU

TASKS = ["a", "b", "c", "d"]
STEPS, STEPS_PER_EPOCH, WIDTH = 30, 3, 9

Expected = Callable[[list[oracles.Step]], list[list[float]]]
ORACLES: dict[str, tuple[dict[str, Any], Expected]] = {
    "db_mtl": ({"beta": 0.8, "sigma": 0.5}, lambda steps: oracles.db_mtl(steps, 0.8, 0.5)),
    "dwa": ({}, lambda steps: oracles.dwa(steps, 2.0)),
    "excess_mtl": ({"step_size": 0.3}, lambda steps: oracles.excess_mtl(steps, 0.3, 3)),
    "famo": ({"lr": 0.1, "gamma": 0.01}, lambda steps: oracles.famo(steps, 0.1, 0.01)),
    "gradnorm": ({}, lambda steps: oracles.gradnorm(steps, 1.5, 0.025)),
    "gradvac": ({"beta": 0.3}, lambda steps: oracles.gradvac(steps, 0.3)),
    "imtl": ({"lr": 0.1}, lambda steps: oracles.imtl(steps, 0.1)),
    "imtl_l": ({}, lambda steps: oracles.imtl_l(steps, 0.025)),
    "pcd": ({"tau": 0.3, "beta": 0.9}, lambda steps: oracles.pcd(steps, 0.3, 0.9, 1e-8)),
    "stch": ({"mu": 0.7}, lambda steps: oracles.stch(steps, 0.7, last_warmup_epoch=4)),
    "uw": ({}, lambda steps: oracles.uw(steps, 0.025)),
}


def run(seed: int) -> list[oracles.Step]:
    """Return the steps of a run: tasks of different scale, absent in a third of them, one in all of two epochs."""
    random = np.random.default_rng(seed)
    common, steps = random.normal(size=WIDTH), []
    for number in range(STEPS):
        epoch = 1 + number // STEPS_PER_EPOCH
        present = random.uniform(size=len(TASKS)) < (2 / 3 if number else 2)
        present[2] &= epoch not in (2, 7)
        present[random.integers(2)] = True
        losses = np.array([0.5, 2.0, 4.0, 1.0]) * 0.97 ** (number * np.arange(1, 5)) * random.uniform(0.5, 1.5, size=4)
        jacobian = (random.normal(size=(4, WIDTH)) - 0.3 * common) * np.array([[0.3], [1.0], [5.0], [1.0]])
        after = losses * random.uniform(0.7, 1.05, size=4)
        masked = [values * present for values in (losses, after)]
        steps.append(
            oracles.Step(
                masked[0].tolist(), present.tolist(), jacobian * present[:, None], random.uniform(size=(4, 4)), epoch,
                masked[1].tolist(),
            )
        )  # fmt: skip
    return steps


def decide(name: str, settings: dict[str, Any], steps: list[oracles.Step]) -> list[Decision]:
    """Return what the method itself decides in these steps, in float64."""
    method = components("balancer")[name](**settings)
    state = {
        key: value.double() if value.is_floating_point() else value
        for key, value in method.init_state(TASKS, CPU).items()
    }
    decisions = []
    for number, step in enumerate(steps):
        jacobian = torch.tensor(step.jacobian)
        seen = StepStatistics(
            torch.tensor(step.losses, dtype=torch.float64),
            torch.tensor(step.present),
            norms=jacobian.norm(dim=1),
            gramian=jacobian @ jacobian.T,
            jacobian=jacobian,
            draws=torch.tensor(step.draws),
            epoch=step.epoch,
            step=number,
        )
        decisions.append(method.decide(state, seen))
        state = decisions[-1].state
        if method.looks_ahead:
            state = method.after(state, torch.tensor(step.after, dtype=torch.float64))
    return decisions


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", ORACLES)
def test_a_method_that_remembers_does_what_its_paper_says(name: str, seed: int) -> None:
    settings, oracle = ORACLES[name]
    steps = run(seed)
    assert any(not all(step.present) for step in steps[:20])
    expected = oracle(steps)
    for number, (decision, step) in enumerate(zip(decide(name, settings, steps), steps, strict=True)):
        found = decision.weights
        if len(expected[number]) == WIDTH:  # a direction: that of the method, or the one that its weights make
            weights = torch.where(torch.tensor(step.present), decision.weights, 0.0)
            found = weights @ torch.tensor(step.jacobian) if decision.direction is None else decision.direction
        np.testing.assert_allclose(found.numpy(), expected[number], rtol=1e-7, atol=1e-9, err_msg=f"step {number}")


def test_every_method_with_a_memory_of_its_own_has_an_oracle() -> None:
    remembering = {
        name
        for name, cls in components("balancer").items()
        if cls.__module__.startswith("mtl_cli.") and set(cls().init_state(TASKS, CPU)) != {"weights"}
    }
    assert remembering == set(ORACLES)
