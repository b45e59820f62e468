"""Learning rates of the network's parts, and the schedules over them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mtl_cli.training.optimizers import SGD, Adam, AdamW, LearningRates, RMSprop
from mtl_cli.training.parameter_groups import layers
from mtl_cli.training.schedulers import Cosine, Plateau, StepDecay, Warmup
from tests.models.small import CPU, train

SCALED = LearningRates(trunk=0.1)


def problem() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    x = np.random.default_rng(0).normal(size=(64, 4))
    return x, {"a": x[:, 0] + x[:, 1], "b": 3 * x[:, 1] - x[:, 2]}


def steps(optimizer: Any) -> list[torch.Tensor]:
    """Return how far each parameter goes in one full-batch step."""
    x, y = problem()
    start = train(x, y, hidden=[6, 5], epochs=1, optimizer=SGD(lr=1e-30)).network.parameters()
    after = train(x, y, hidden=[6, 5], epochs=1, optimizer=optimizer).network.parameters()
    return [(b - a).detach() for a, b in zip(start, after, strict=True)]


@pytest.mark.parametrize("cls", [SGD, Adam, AdamW, RMSprop])
def test_the_trunk_goes_a_tenth_as_far(cls: Any) -> None:
    plain, scaled = steps(cls(lr=1e-2)), steps(cls(lr=1e-2, lr_scale=SCALED))
    for i, (full, part) in enumerate(zip(plain, scaled, strict=True)):
        assert torch.allclose(part, full * (0.1 if i < 4 else 1.0), rtol=1e-2, atol=1e-7)


def test_layer_by_layer() -> None:
    plain = steps(SGD(lr=1e-2))
    scaled = steps(SGD(lr=1e-2, lr_scale=LearningRates(trunk=0.5, decay=0.2)))
    for i, (full, part) in enumerate(zip(plain, scaled, strict=True)):
        assert torch.allclose(part, full * (0.1 if i < 2 else 0.5 if i < 4 else 1.0), rtol=1e-3, atol=1e-7)


def test_what_a_layer_is() -> None:
    block = nn.Sequential(nn.Linear(4, 4), nn.LayerNorm(4), nn.Linear(4, 4))
    deep = nn.ModuleDict({"embed": nn.Embedding(9, 4), "blocks": nn.ModuleList([block, nn.Linear(4, 4)])})
    assert [len(layer) for layer in layers(deep)] == [1, 6, 2]
    flat = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Linear(3, 2))
    assert [len(layer) for layer in layers(flat)] == [4, 2]
    assert layers(nn.Sequential()) == []


def test_the_history_shows_the_heads_learning_rate() -> None:
    x, y = problem()
    found = train(x, y, hidden=[5], epochs=2, optimizer=Adam(lr=0.02, lr_scale=SCALED))
    assert [row["lr"] for row in found.history] == [0.02, 0.02]


@pytest.mark.parametrize("scheduler", [Cosine(final=0.2), StepDecay(every=2), Warmup(epochs=3, final=0.1)])
def test_a_schedule_multiplies_every_rate(scheduler: Any) -> None:
    heads, trunk = (nn.Parameter(torch.ones(1)) for _ in range(2))
    made = Adam(lr=0.02).build([{"params": [heads], "lr": 0.02}, {"params": [trunk], "lr": 0.002}], CPU)
    advance = scheduler.build(made, 10)
    for _ in range(10):
        rates = [group["lr"] for group in made.param_groups]
        assert rates[1] == pytest.approx(0.1 * rates[0])
        made.step()
        advance(None)


def rates(scheduler: Any, epochs: int) -> list[float]:
    made = SGD(lr=0.1).build([nn.Parameter(torch.ones(1))], CPU)
    advance = scheduler.build(made, epochs)
    found = []
    for _ in range(epochs):
        found.append(made.param_groups[0]["lr"])
        made.step()
        advance(0.0)
    return found


def test_the_schedules_in_numbers() -> None:
    cosine = [0.02 + 0.08 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(5)]
    assert rates(Cosine(final=0.2), 5) == pytest.approx(cosine)
    assert rates(Warmup(epochs=4), 9)[:5] == pytest.approx([0.02, 0.04, 0.06, 0.08, 0.1])
    assert rates(Warmup(epochs=4, final=0.1), 9)[-1] == pytest.approx(0.01)
    assert rates(Plateau(patience=1), 4) == pytest.approx([0.1, 0.1, 0.1, 0.05])
    assert rates(Cosine(), 1) == [0.1]
