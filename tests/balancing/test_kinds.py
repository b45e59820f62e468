"""Every balancer on tasks whose losses are likelihoods, and on one whose loss is of a batch's rows together."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mtl_cli.balancing.losses import task_losses
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import build_network, shapes
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.kinds.censored import Censored
from mtl_cli.tasks.kinds.count import Count
from mtl_cli.tasks.kinds.ordinal import Ordinal
from mtl_cli.tasks.kinds.survival import Survival
from mtl_cli.tasks.survival import EVENT
from mtl_cli.tasks.task import Task
from tests.outcomes import assays, patients

METHODS = sorted(name for name in components("balancer") if name not in ("static", "torchjd"))
TABLE = pd.concat([patients(), assays()[["level"]]], axis=1)
CONFIGS = {
    "outcome": Survival(target="days", event="died"),
    "hazard": Survival(target="days", event="died", loss="cox"),
    "stage": Ordinal(),
    "visits": Count(loss="negative_binomial"),
    "level": Censored(),
}


def fitted() -> dict[str, Task]:
    return {name: config.fit(name, TABLE, np.arange(len(TABLE))) for name, config in CONFIGS.items()}


def batch_of(tasks: dict[str, Task], rows: slice) -> Batch:
    targets = {name: task.encode(task.labels(TABLE)) for name, task in tasks.items()}
    inputs = torch.tensor(TABLE[["age", "dose", "marker", "other"]].to_numpy()[rows], dtype=torch.float32)
    values = {name: torch.from_numpy(target.values[rows]) for name, target in targets.items()}
    return Batch(
        inputs, values, {name: torch.from_numpy(target.mask[rows]).float() for name, target in targets.items()}
    )


def test_losses_are_above_zero_so_that_their_ratios_and_logarithms_are_numbers() -> None:
    tasks = fitted()
    batch = batch_of(tasks, slice(0, 240))
    generator = torch.Generator().manual_seed(0)
    for size in (0.0, 1.0, 5.0):
        outputs = {name: torch.randn(240, task.outputs, generator=generator) * size for name, task in tasks.items()}
        assert bool((task_losses(tasks, batch, outputs).means > 0).all())


def test_a_batch_without_events_leaves_the_partial_likelihood_out() -> None:
    tasks = fitted()
    batch = batch_of(tasks, slice(0, 64))
    batch.targets["hazard"][:, EVENT] = 0
    outputs = {name: torch.zeros(64, task.outputs) for name, task in tasks.items()}
    found = task_losses(tasks, batch, outputs)
    assert isinstance(found.counts, torch.Tensor)
    assert (found.counts == 0).tolist() == [False, True, False, False, False]


def test_members_in_one_network_have_each_its_own_risk_sets() -> None:
    tasks = {"hazard": fitted()["hazard"]}
    batch = batch_of(tasks, slice(0, 64))
    members = torch.randn(64, 3, 1, generator=torch.Generator().manual_seed(0))
    together = task_losses(tasks, batch, {"hazard": members}).means
    each = torch.stack([task_losses(tasks, batch, {"hazard": own}).means for own in members.unbind(1)])
    torch.testing.assert_close(together, each.mean(0))


@pytest.mark.parametrize("method", METHODS)
def test_every_balancer_learns_them(method: str) -> None:
    tasks = fitted()
    torch.manual_seed(0)
    model = build_network(Model(trunk=MLP(hidden=[16], dropout=0.0)), InputSpec("features", (4,)), shapes(tasks))
    step = TrainingStep(model, tasks, components("balancer")[method](), torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = task_losses(tasks, batch := batch_of(tasks, slice(0, 240)), model(batch.inputs)).means
    for epoch in range(1, 7):
        for start in range(0, 240, 60):
            optimizer.zero_grad()
            result = step(part := batch_of(tasks, slice(start, start + 60)), epoch)
            step.settle(1)
            assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in model.parameters())
            assert bool(result.weights.isfinite().all())
            optimizer.step()
            step.after(part)
    after = task_losses(tasks, batch, model(batch.inputs)).means
    assert float((after / before).mean()) < 1
