"""Chains of layers that are run without a graph: what they return and send back is what autograd does."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtl_cli.balancing.boundary import HeadBoundary, head_chains
from mtl_cli.balancing.chain import Chain, is_chain

KINDS = ["linear", "relu", "gelu", "tanh", "layer", "batch", "dropout", "relu, dropout"]


def build(kinds: list[str], width: int) -> list[nn.Module]:
    made = {
        "linear": lambda: [nn.Linear(width, width)],
        "relu": lambda: [nn.ReLU()],
        "gelu": lambda: [nn.GELU()],
        "tanh": lambda: [nn.Tanh()],
        "layer": lambda: [nn.LayerNorm(width)],
        "batch": lambda: [nn.BatchNorm1d(width)],
        "dropout": lambda: [nn.Dropout(0.3)],
        "relu, dropout": lambda: [nn.ReLU(), nn.Dropout(0.4)],
    }
    return [module for kind in kinds for module in made[kind]()]


@given(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=6), st.integers(1, 3), st.booleans(), st.integers(0, 2**31)
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_chain_sends_back_what_autograd_sends(kinds: list[str], tasks: int, evaluating: bool, seed: int) -> None:
    torch.manual_seed(seed)
    layers = nn.Sequential(*build(["linear", *kinds], 5)).double()
    layers.train(not evaluating)
    layers[0].bias.requires_grad_(seed % 2 == 0)
    inputs = torch.randn(7, 5, dtype=torch.float64, requires_grad=True)
    sent = torch.randn(tasks, 7, 5, dtype=torch.float64)
    wanted = [inputs, *(p for p in layers.parameters() if p.requires_grad)]
    torch.manual_seed(1)  # the same units are dropped
    output = layers(inputs)
    each = [torch.autograd.grad(output, wanted, row, retain_graph=True) for row in sent]

    chain = Chain(list(layers))
    with torch.no_grad():
        torch.manual_seed(1)
        torch.testing.assert_close(chain.run(inputs), output.detach())
        for deltas, expected in [(sent, [torch.stack(rows) for rows in zip(*each, strict=True)]), (sent[0], each[0])]:
            steps = list(chain.back(deltas, to=-1))
            found = {id(part.parameter): part.full() for parts, _ in steps for part in parts}
            torch.testing.assert_close(steps[-1][1], expected[0])
            assert len(found) == len(wanted) - 1
            for parameter, gradient in zip(wanted[1:], expected[1:], strict=True):
                torch.testing.assert_close(found[id(parameter)], gradient)


def test_known_layers_each_once_make_a_chain() -> None:
    class Louder(nn.Linear):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(inputs)

    linear = nn.Linear(3, 3)
    assert is_chain([linear, nn.ReLU()])
    assert not is_chain(None)
    assert not is_chain([])
    assert not is_chain([linear, nn.ReLU(), linear])
    assert not is_chain([Louder(3, 3)])
    assert not is_chain([nn.ReLU(inplace=True)])


@pytest.mark.parametrize("where", ["head", "inside", "parameter"])
def test_a_hook_on_a_head_is_heard_and_changes_no_gradient(where: str) -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 1))
    heads = {"a": head, "b": nn.Linear(4, 1)}
    z = torch.randn(6, 4)

    def receive() -> tuple[torch.Tensor, list[torch.Tensor]]:
        boundary = HeadBoundary(dict.fromkeys(heads, z), heads, head_chains(heads))
        total = torch.stack([output.square().mean() for output in boundary.outputs.values()]).sum()
        with torch.no_grad():
            boundary.receive(total)
            roots = boundary.heads(None)
        return boundary.flat(), [tensor for tensor, _ in roots]

    plain, landing = receive()
    assert all(isinstance(tensor, nn.Parameter) for tensor in landing)
    heard: list[object] = []
    if where == "parameter":
        head[0].weight.register_hook(heard.append)
    else:
        module = head if where == "head" else head[2]
        module.register_forward_hook(lambda *_: heard.append(1))
    hooked, landing = receive()
    assert not any(isinstance(tensor, nn.Parameter) for tensor in landing)  # a pass of autograd's, for it to be heard
    assert heard or where == "parameter"
    torch.testing.assert_close(hooked, plain)
