"""Trunks for images and adapters: shapes, what is shared, and the tasks' gradients on them against autograd."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import nn

from mtl_cli.balancing.base import Decision, GramianBalancer, State, StepStatistics
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Adapter, Model
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import Network, Shape, build_network
from mtl_cli.models.trunks.cnn import CNN
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.models.trunks.resnet import ResNet
from mtl_cli.tasks.kinds.binary import BinaryTask
from mtl_cli.tasks.kinds.multiclass import MulticlassTask
from mtl_cli.training.device import multiply_adds

IMAGE = InputSpec("image", (1, 12, 10), center=[60.0], scale=[40.0])
TABLES = InputSpec("joint", (), parts={"a": InputSpec("features", (3,)), "b": InputSpec("features", (5,))})
TASKS = {"one": Shape(3), "two": Shape(1)}
TRUNKS = {
    "cnn": CNN(channels=[4, 6], kernel=3, hidden=[8]),
    "cnn with batch norm": CNN(channels=[4], hidden=[], norm="batch", activation="gelu"),
    "resnet": ResNet(channels=[4, 8], blocks=1),
    "mlp": MLP(hidden=[8], norm="layer"),
}


def images(rows: int = 6) -> torch.Tensor:
    return torch.randint(0, 256, (rows, *IMAGE.shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def build(trunk: object, spec: InputSpec = IMAGE) -> Network:
    torch.manual_seed(0)
    return build_network(Model(trunk=trunk, adapter=Adapter(width=7)), spec, TASKS)


@pytest.mark.parametrize("trunk", TRUNKS.values(), ids=TRUNKS)
def test_shapes_and_what_is_shared(trunk: object) -> None:
    model = build(trunk)
    found = model(images())
    assert {name: tuple(output.shape) for name, output in found.items()} == {"one": (6, 3), "two": (6, 1)}
    assert model.last_shared_layer is not None
    assert model.last_shared_layer.weight.dim() in (2, 4)  # type: ignore[union-attr]
    assert any(p is model.last_shared_layer.weight for p in model.shared_parameters())
    assert found["one"].dtype == torch.float32, "from bytes"


def test_normalised_as_the_spec_says() -> None:
    trunk = build(CNN()).shared.trunk
    bytes_ = images()
    assert torch.allclose(trunk[0](bytes_), (bytes_.float() - 60) / 40)
    assert torch.equal(trunk[1](trunk[0](bytes_)), trunk[0](bytes_)), "another layout, the same numbers"


@pytest.mark.parametrize("trunk", TRUNKS.values(), ids=TRUNKS)
def test_training_on_one_task_changes_the_representation_of_the_other(trunk: object) -> None:
    model = build(trunk).eval()
    before = model.representations(images())["two"].detach()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(images())["one"].square().mean().backward()
    optimizer.step()
    assert not torch.allclose(model.representations(images())["two"], before)


def test_the_sizes_of_the_default_networks() -> None:
    spec = InputSpec("image", (1, 28, 28), center=[0.0], scale=[1.0])
    cnn = build_network(Model(trunk=CNN()), spec, {"a": Shape(10), "b": Shape(10)})
    count = (25 * 16 + 16) + (25 * 16 * 32 + 32) + (7 * 7 * 32 * 128 + 128) + 2 * (128 * 10 + 10)
    assert sum(p.numel() for p in cnn.parameters()) == count
    resnet = build_network(Model(trunk=ResNet()), spec, {"a": Shape(10)})
    assert len([m for m in resnet.modules() if isinstance(m, nn.Conv2d)]) == 1 + 6 + 2, "two of them shortcuts"
    assert resnet.representations(torch.zeros(2, 1, 28, 28, dtype=torch.uint8))["a"].shape == (2, 64)


def test_images_too_small_to_be_halved() -> None:
    with pytest.raises(UserError, match=r"channels: has 4 convolutions, each of which halves .* too many for 12 × 10"):
        build(CNN(channels=[2, 2, 2, 2]))


def test_multiply_adds_of_a_convolution_are_those_of_all_pixels() -> None:
    model = build(CNN(channels=[4, 6], kernel=3, hidden=[8]))
    pixels, quarter = 120, 30
    convolutions = 9 * 4 * pixels + 4 + 9 * 4 * 6 * quarter + 6
    linear = 6 * 3 * 2 * 8 + 8 + 8 * 3 + 3 + 8 + 1
    assert multiply_adds(model, images(1)) == convolutions + linear
    assert model.training, "as it was"
    table = build(MLP(hidden=[16]), InputSpec("features", (5,)))
    assert multiply_adds(table, torch.zeros(1, 5)) == sum(p.numel() for p in table.parameters())


@dataclass(frozen=True, kw_only=True)
class Fixed(GramianBalancer):
    """Weights of 0.3 and −1.2, and the Gramian seen."""

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        return Decision(torch.tensor([0.3, -1.2], dtype=torch.float64), state)


def make_tasks() -> dict[str, Any]:
    return {
        "one": MulticlassTask("one", ["one"], 1.0, False, [0, 1, 2], None, 0.0),
        "two": BinaryTask("two", ["two"], 1.0, False, [0, 1], None, None),
    }


def make_batch(inputs: Any, own: dict[str, slice] | None = None) -> Batch:
    """Labels for the rows that are a task's own."""
    rows = sum(map(len, inputs)) if isinstance(inputs, tuple) else len(inputs)
    targets = {"one": torch.arange(rows) % 3, "two": (torch.arange(rows) % 2).double()}
    masks: dict[str, torch.Tensor | None] = dict.fromkeys(targets)
    for name, mine in (own or {}).items():
        masks[name] = torch.zeros(rows)
        masks[name][mine] = 1.0  # type: ignore[index]
    return Batch(inputs, targets, masks)


def losses(model: Network, batch: Batch) -> list[torch.Tensor]:
    found = []
    for name, output in model(batch.inputs).items():
        mask = batch.masks[name]
        mask = torch.ones(len(batch)) if mask is None else mask
        found.append((make_tasks()[name].loss(output, batch.targets[name]) * mask).sum() / mask.sum().clamp(min=1))
    return found


FIRST, SECOND = {"one": slice(0, 4), "two": slice(4, 7)}, {"one": slice(0, 4), "two": slice(4, 4)}
CASES = {
    **{name: (trunk, IMAGE, images(8), None) for name, trunk in TRUNKS.items()},  # 1 / 8 is exact in float32
    "adapters": (MLP(hidden=[8, 6]), TABLES, (torch.randn(4, 3), torch.randn(3, 5)), FIRST),
    "adapters, one without a row": (MLP(hidden=[8, 6]), TABLES, (torch.ones(4, 3), torch.zeros(0, 5)), SECOND),
}


@pytest.mark.parametrize("name", CASES)
def test_the_tasks_gradients_are_those_of_autograd(name: str) -> None:
    """The Gramian and the weighted sum, layer by layer, against a pass of autograd per task; twice."""
    trunk, spec, inputs, own = CASES[name]
    model = build(trunk, spec).double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    inputs = tuple(x.double() for x in inputs) if isinstance(inputs, tuple) else inputs
    reference, batch = copy.deepcopy(model), make_batch(inputs, own)
    step = TrainingStep(model, make_tasks(), Fixed(), torch.device("cpu"))
    for _ in range(2):
        for p in [*model.parameters(), *reference.parameters()]:
            p.grad = None
        shared, rows = reference.shared_parameters(), []
        for loss in losses(reference, batch):
            found = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
            pairs = zip(shared, found, strict=True)
            rows.append(torch.cat([torch.zeros_like(p).flatten() if g is None else g.flatten() for p, g in pairs]))
        jacobian = torch.stack(rows)
        one, two = losses(reference, batch)
        (0.3 * one - 1.2 * two).backward()
        gramian = step(batch).gramian
        assert gramian is not None
        assert torch.allclose(gramian, jacobian @ jacobian.T, rtol=1e-8, atol=1e-12)
        theirs = dict(reference.named_parameters())
        for key, parameter in model.named_parameters():
            expected = theirs[key].grad
            found_ = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            wanted = torch.zeros_like(parameter) if expected is None else expected
            if not (key.startswith("_heads") and step.balancer.heads == "unit"):
                assert torch.allclose(found_, wanted, rtol=1e-7, atol=1e-12), key


def test_adapters_are_no_shared_parameters() -> None:
    model = build(MLP(hidden=[8, 6]), TABLES)
    assert model.entry is not None
    adapters = {id(p) for p in model.entry.parameters()}
    assert not adapters & {id(p) for p in model.shared_parameters()}
    assert sum(p.numel() for p in model.entry.parameters()) == 3 * 7 + 7 + 5 * 7 + 7
    first, _ = losses(model, make_batch((torch.randn(4, 3), torch.randn(3, 5)), FIRST))
    first.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.entry.adapters[0].parameters())
    assert all(p.grad is None or not p.grad.any() for p in model.entry.adapters[1].parameters())
