"""Holding the trunk, for good or for some epochs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mtl_cli.balancing.methods.excess_mtl import ExcessMTL
from mtl_cli.balancing.methods.gradnorm import GradNorm
from mtl_cli.balancing.methods.imtl_l import ImpartialLosses
from mtl_cli.balancing.methods.mgda import MGDA
from mtl_cli.balancing.methods.uniform import Uniform
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import Shape, build_network
from mtl_cli.models.sharing.cross_stitch import CrossStitchNetwork
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.training.callbacks.freeze import Freeze
from mtl_cli.training.optimizers import SGD, Adam, AdamW
from tests.models.small import Trained, part_of, train


def problem(rows: int = 64) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4))
    return x, {"a": x[:, 0] + x[:, 1], "b": 3 * x[:, 1] - x[:, 2] ** 2}


def run(freeze: int | None, epochs: int = 6, balancer: Any = None, optimizer: Any = None, **more: Any) -> Trained:
    x, y = problem()
    return train(
        x, y, hidden=[6, 5], epochs=epochs, freeze=freeze, balancer=balancer, optimizer=optimizer or Adam(lr=0.01),
        batch_size=16, **more,
    )  # fmt: skip


def trunk(trained: Trained) -> dict[str, torch.Tensor]:
    return trained.network.shared.state_dict()


@pytest.mark.parametrize("optimizer", [Adam(lr=0.01, weight_decay=0.1), AdamW(lr=0.01), SGD()])
def test_a_frozen_trunk_stays_to_the_bit(optimizer: Any) -> None:
    """Its batch norm's running statistics too, whatever weight decay says; the heads learn."""
    start = run(None, epochs=1, norm="batch", optimizer=SGD(lr=1e-30))
    found = run(None, norm="batch", optimizer=optimizer)
    assert len(trunk(found)) == 14
    for name, tensor in trunk(found).items():
        assert torch.equal(tensor, trunk(start)[name]), name
    assert found.history[-1]["loss_b"] < 0.97 * found.history[0]["loss_b"]


@pytest.mark.parametrize("balancer", [Uniform(), GradNorm(), MGDA(), ExcessMTL(warmup_epochs=2), ImpartialLosses()])
def test_for_some_epochs(balancer: Any) -> None:
    """Held for three epochs, then trained; the optimizer starts on it as on a fresh one."""
    held = run(3, epochs=3, balancer=balancer)
    longer = run(3, epochs=4, balancer=balancer)
    free = run(0, epochs=4, balancer=balancer)
    start = run(None, epochs=1, optimizer=SGD(lr=1e-30))
    for name, tensor in trunk(held).items():
        assert torch.equal(tensor, trunk(start)[name])
    moved = [not torch.equal(tensor, trunk(start)[name]) for name, tensor in trunk(longer).items()]
    assert all(moved)
    assert free.history[-1]["loss_a"] != longer.history[-1]["loss_a"]


@pytest.mark.parametrize("balancer", [GradNorm(), MGDA(), ExcessMTL(warmup_epochs=2)])
def test_a_balancer_of_gradients_begins_when_the_trunk_does(balancer: Any) -> None:
    """Until then all weights are 1 and nothing is written down; its own epochs count from there."""
    plain, found = run(3, balancer=Uniform(), epochs=3), run(3, balancer=balancer, epochs=6)
    for i in range(3):
        assert found.history[i]["loss_a"] == plain.history[i]["loss_a"]
        assert found.epochs[i].balance == []
    assert [row["epoch"] for epoch in found.epochs for row in epoch.balance] == [4, 5, 6]
    if isinstance(balancer, ExcessMTL):
        weights = [[row["weight_a"], row["weight_b"]] for epoch in found.epochs for row in epoch.balance]
        assert weights[0] == weights[1] == [0.5, 0.5] != weights[2]


def test_a_balancer_of_losses_goes_on() -> None:
    found = run(3, balancer=ImpartialLosses(), epochs=4)
    assert all(len(epoch.balance) == 1 for epoch in found.epochs)
    assert found.epochs[2].balance[0]["weight_a"] != 1


def test_what_stitches_trunks_together_is_held_too() -> None:
    """All of cross-stitch but the last unit, each row of which is one task's own."""
    tasks = {"a": Shape(1), "b": Shape(1)}
    model = Model(trunk=MLP(hidden=[6, 5]), sharing=CrossStitchNetwork())
    network = build_network(model, InputSpec("features", (4,)), tasks)
    _, fitted = part_of(*problem())
    Freeze(network, TrainingStep(network, fitted, Uniform(), torch.device("cpu")), None).begin(1)
    learning = {name for name, p in network.named_parameters() if p.requires_grad}
    assert {name for name in learning if name.startswith("shared")} == {f"shared.units.1.alpha.{i}" for i in (0, 1)}
    assert any(name.startswith("_heads") for name in learning)


def test_what_was_built_frozen_stays_so() -> None:
    """Such as a pretrained model below a trained adapter."""
    x, y = problem()
    base = train(x, y, hidden=[6, 5], epochs=1)
    first = base.network.shared.trunk[0]
    first.weight.requires_grad_(False)
    freeze = Freeze(base.network, TrainingStep(base.network, base.training.tasks, Uniform(), torch.device("cpu")), 1)
    assert freeze.size == 6 + 6 * 5 + 5
    freeze.begin(1)
    assert not any(p.requires_grad for p in base.network.shared.parameters())
    freeze.begin(2)
    assert [p.requires_grad for p in base.network.shared.parameters()] == [False, True, True, True]


@pytest.mark.parametrize("epochs", [1, 2, 3])
def test_a_state_saved_before_at_and_after_the_last_frozen_epoch(epochs: int) -> None:
    """A balancer counts its epochs and steps from the first in which the trunk is trained, also after a resume."""

    def begin() -> tuple[Freeze, TrainingStep]:
        tasks = {"a": Shape(1), "b": Shape(1)}
        network = build_network(Model(trunk=MLP(hidden=[3])), InputSpec("features", (4,)), tasks)
        step = TrainingStep(network, part_of(*problem())[1], ExcessMTL(), torch.device("cpu"))
        return Freeze(network, step, 2), step

    def go(freeze: Freeze, step: TrainingStep, first: int, last: int) -> None:
        for epoch in range(first, last + 1):
            freeze.begin(epoch)
            step.steps += 18

    freeze, step = begin()
    go(freeze, step, 1, 4)
    before, whole = begin()
    go(before, whole, 1, epochs)
    after, resumed = begin()
    resumed.load_state_dict(whole.state_dict())
    after.load_state_dict(before.state_dict())
    go(after, resumed, epochs + 1, 4)
    assert resumed.state_dict()["rested"] == step.state_dict()["rested"] == (2, 36)
    assert resumed.held is step.held is False
