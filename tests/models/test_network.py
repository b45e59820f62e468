"""The network: shapes, sharing, and what it names."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtl_cli.config.schema import Head, Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import Network, Shape, build_network
from mtl_cli.models.trunks.mlp import MLP

SPEC = InputSpec("features", (5,))


def build(**keys: object) -> Network:
    heads = {"keys": Head(hidden=[7, 3])}
    return build_network(Model(trunk=MLP(**keys), heads=heads), SPEC, {"keys": Shape(1), "a b": Shape(4)})  # type: ignore[arg-type]


def test_outputs_and_parameters() -> None:
    model = build(hidden=[16, 8])
    outputs = model(torch.randn(10, 5))
    assert {name: tuple(output.shape) for name, output in outputs.items()} == {"keys": (10, 1), "a b": (10, 4)}
    count = (5 * 16 + 16) + (16 * 8 + 8) + (8 * 7 + 7 + 7 * 3 + 3 + 3 + 1) + (8 * 4 + 4)
    assert sum(p.numel() for p in model.parameters()) == count
    assert len(model.state_dict()) == len(list(model.named_parameters())), "nothing is registered twice"


def test_every_parameter_is_shared_or_one_heads() -> None:
    model = build(hidden=[16, 8], norm="batch")
    owned = [*model.shared_parameters(), *model.head_parameters("keys"), *model.head_parameters("a b")]
    assert {id(p) for p in owned} == {id(p) for p in model.parameters()}
    assert len(owned) == len({id(p) for p in owned})


@pytest.mark.parametrize(
    ("norm", "kinds"),
    [
        ("none", [nn.Linear, nn.ReLU, nn.Dropout]),
        ("batch", [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Dropout]),
        ("layer", [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Dropout]),
    ],
)
def test_the_order_of_layers(norm: str, kinds: list[type[nn.Module]]) -> None:
    assert [type(layer) for layer in build(hidden=[16], norm=norm, dropout=0.1).shared.trunk] == kinds


def test_one_task_changes_the_representation_of_the_other() -> None:
    torch.manual_seed(0)  # with some draws all three units of the head are at rest for all rows
    model, x = build(hidden=[16, 8], dropout=0.0), torch.randn(10, 5)
    before = model.representations(x)["a b"].detach()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(x)["keys"].square().mean().backward()
    optimizer.step()
    assert not torch.allclose(model.representations(x)["a b"], before)


def test_without_hidden_layers_nothing_is_shared() -> None:
    model = build(hidden=[])
    assert model.shared_parameters() == []
    assert model.last_shared_layer is None
    assert model(torch.randn(2, 5))["a b"].shape == (2, 4)
