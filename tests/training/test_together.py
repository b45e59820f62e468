"""A step of several members at once leaves what each member's own step leaves, whatever the balancer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from mtl_cli.balancing.base import Balancer
from mtl_cli.balancing.result import StepResult
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Head, Model
from mtl_cli.data.batches import Batch
from mtl_cli.models.network import Network
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.training.together.network import BatchedNetwork
from mtl_cli.training.together.rows import Step
from mtl_cli.training.together.step import JointStep
from tests.balancing.test_step import CPU, make_tasks, network

ROWS = [[9, 7, 9], [6, 8, 8], [9, 0, 9], [8, 8, 8], [9, 9, 0], [7, 9, 9]]
"""By step: each member's; one that is out for a step is a step behind from then on."""
RATE = 0.02

SETTINGS: dict[str, dict[str, Any]] = {
    "stch": {"warmup_epochs": 1},
    "excess_mtl": {"warmup_epochs": 1},
    "db_mtl": {"sigma": 0.5},
}
CASES = [(name, SETTINGS.get(name, {})) for name in sorted(components("balancer"))] + [
    ("gradnorm", {"update_every": 2, "scale": "sum"}),
    ("gradnorm", {"heads": "unit"}),
    ("uw", {"heads": "unit"}),
    ("mgda", {"geometry": "representation"}),
    ("upgrad", {"heads": "weighted", "update_every": 2}),
    ("imtl", {"update_every": 2}),
    ("graddrop", {"leak": 0.3, "scale": "sum"}),
]


def batches(step: int, generator: torch.Generator) -> list[Batch]:
    """Return each member's rows of a step: of some of them the labels are missing, of one step all of a task's."""
    found = []
    for rows in ROWS[step]:
        targets = {
            "size": torch.randn(rows, generator=generator),
            "good": torch.randint(0, 2, (rows,), generator=generator).float(),
            "kind": torch.randint(0, 3, (rows,), generator=generator),
        }
        labelled = (torch.rand(rows, generator=generator) < 0.6).float() * (step != 1)
        masks = {"size": labelled, "good": None, "kind": None}
        found.append(Batch(torch.randn(rows, 5, generator=generator), targets, masks))
    return found


def joined(each: list[Batch]) -> Step:
    """Return the same as a step of all members."""
    lengths = [len(batch.inputs) for batch in each]
    longest = max(lengths)

    def stacked(rows: list[torch.Tensor]) -> torch.Tensor:
        made = torch.zeros(len(rows), longest, *rows[0].shape[1:], dtype=rows[0].dtype)
        for own, values in zip(made, rows, strict=True):
            own[: len(values)] = values
        return made

    targets = {name: stacked([batch.targets[name] for batch in each]) for name in each[0].targets}
    masks = {"size": stacked([batch.masks["size"] for batch in each]), "good": None, "kind": None}
    padded = stacked([torch.ones(length) for length in lengths]) if min(lengths) < longest else None
    return Step(Batch(stacked([batch.inputs for batch in each]), targets, masks), lengths, padded)


def made(method: Balancer, seed: int, model: Model) -> tuple[Network, TrainingStep]:
    own, tasks = network(model, make_tasks()), make_tasks()
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.copy_(torch.randn_like(parameter) / parameter.shape[-1] ** 0.5)
    return own, TrainingStep(own, tasks, method, CPU, seed)


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_members_at_once_are_as_each_alone(name: str, settings: dict[str, Any]) -> None:
    method = components("balancer")[name](**settings)
    model = Model(trunk=MLP(hidden=[12, 6], dropout=0.3, activation="gelu"), head=Head(hidden=[4]))
    alone = [made(method, seed, model) for seed in range(3)]
    copies = copy.deepcopy(alone)
    together = BatchedNetwork([own for own, _ in copies])
    generators = [torch.Generator().manual_seed(seed) for seed in range(3)]
    joint = JointStep(together, [step for _, step in copies], generators)
    drawn = [generator.get_state() for generator in generators]
    random = torch.Generator().manual_seed(1)
    for number in range(len(ROWS)):
        epoch = 1 + number // 2
        each = batches(number, random)
        step = joined(each)
        results = joint(step, epoch)
        together.values.sub_(RATE * together.gradients * torch.tensor([[min(n, 1)] for n in step.lengths]))
        joint.after(step)
        for i, ((own, one), batch) in enumerate(zip(alone, each, strict=True)):
            if not len(batch.inputs):
                continue
            torch.set_rng_state(drawn[i])
            own.zero_grad()
            result = one(batch, epoch)
            gradient = torch.cat([parameter.grad.flatten() for parameter in own.parameters()])  # type: ignore[union-attr]
            torch.testing.assert_close(together.gradients[i], gradient, rtol=1e-4, atol=1e-5)
            with torch.no_grad():
                for parameter in own.parameters():
                    parameter.sub_(RATE * parameter.grad)
            one.after(batch)
            drawn[i] = torch.get_rng_state()
            assert_same(results[i], result, method)
    joint.hand_back()
    for (_, one), (_, other) in zip(alone, copies, strict=True):
        kept, other_kept = (
            {name: value for name, value in step.state_dict().items() if name not in ("gramian", "columns")}
            for step in (one, other)
        )
        torch.testing.assert_close(other_kept, kept, rtol=1e-3, atol=1e-4, equal_nan=True)


def assert_same(found: StepResult, expected: StepResult, method: Balancer) -> None:
    def close(a: Any, b: Any) -> None:
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)

    close(found.losses, expected.losses)
    close(found.weights, expected.weights)
    close(dict(found.columns), dict(expected.columns))
    assert (found.gramian is None) == (expected.gramian is None)
    if expected.gramian is not None:
        close(found.gramian, expected.gramian)
    if found.sizes is not None:
        close(found.sizes, expected.sizes)
    assert found.seen_step == expected.seen_step
    assert (found.sizes is None) <= (method.needs == "losses" or method.update_every > 1)
