"""Backward passes by autograd's engine: what torch's own functions give, without what these import."""

import sys

import pytest
import torch

from mtl_cli.balancing import engine
from mtl_cli.balancing.methods.gradnorm import GradNorm
from mtl_cli.balancing.methods.uniform import Uniform
from mtl_cli.balancing.methods.upgrad import UPGrad
from tests.balancing.test_step import make, make_batch


@pytest.fixture
def layers() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2))


def test_what_lands_is_what_torch_lands(layers: torch.nn.Sequential) -> None:
    inputs, sent = torch.randn(5, 3), torch.randn(5, 2)
    first, last = layers[0].weight, layers[2].weight
    torch.autograd.backward([layers(inputs), first], [sent, torch.ones_like(first)])
    wanted = {name: p.grad for name, p in layers.named_parameters()}
    layers.zero_grad()
    engine.backward([layers(inputs), first], [sent, torch.ones_like(first)])
    assert all(torch.equal(p.grad, wanted[name]) for name, p in layers.named_parameters() if p.grad is not None)
    layers.zero_grad()
    engine.backward([layers(inputs)], [sent], [last])
    assert torch.equal(last.grad, wanted["2.weight"]) and first.grad is None


def test_what_arrives_is_what_torch_returns_and_nothing_lands(layers: torch.nn.Sequential) -> None:
    output, sent, unused = layers(torch.randn(5, 3)), torch.randn(5, 2), torch.ones(1, requires_grad=True)
    wanted = torch.autograd.grad(output, [*layers.parameters()], sent, retain_graph=True)
    for _ in range(2):  # the graph is kept
        found = engine.grad(output, [*layers.parameters(), unused], sent)
        assert found[-1] is None and all(torch.equal(a, b) for a, b in zip(found[:-1], wanted, strict=True))
    assert all(p.grad is None for p in layers.parameters())


def test_a_gradient_of_another_shape_is_refused(layers: torch.nn.Sequential) -> None:
    with pytest.raises(RuntimeError, match="invalid gradient"):
        engine.backward([layers(torch.randn(5, 3))], [torch.ones(4, 2)])


@pytest.mark.parametrize("balancer", [Uniform(), GradNorm(), UPGrad()], ids=lambda balancer: type(balancer).__name__)
def test_a_step_imports_no_symbolic_shapes(balancer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.fx.experimental.symbolic_shapes", None)  # its import fails
    model, step = make(balancer)
    step(make_batch())
    assert all(p.grad is not None for p in model.parameters())
