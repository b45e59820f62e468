"""A training step around modules of one's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mtl_cli import TrainingStep, UserError, balancers


def modules() -> tuple[nn.Module, dict[str, nn.Module]]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh()), {"a": nn.Linear(8, 1), "b": nn.Linear(8, 3)}


def rows() -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    inputs = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    targets = {"a": inputs[:, :1].clone(), "b": (inputs[:, 1] > 0).long() + (inputs[:, 2] > 1).long()}
    targets["a"][::3], targets["b"][::4] = torch.nan, -1
    return inputs, targets


LOSSES = {"a": nn.MSELoss(reduction="none"), "b": nn.CrossEntropyLoss(reduction="none")}


def test_gradients_are_those_of_the_weighted_sum_over_rows_with_a_label() -> None:
    trunk, heads = modules()
    inputs, targets = rows()
    step = TrainingStep.around(trunk, heads, LOSSES, "uniform", weights={"b": 2.0})
    result = step.backward(inputs, targets)
    found = [p.grad.clone() for p in (*trunk.parameters(), *heads["a"].parameters(), *heads["b"].parameters())]
    z, there = trunk(inputs), {"a": ~targets["a"][:, 0].isnan(), "b": targets["b"] >= 0}
    a = F.mse_loss(heads["a"](z)[there["a"]], targets["a"][there["a"]])
    b = F.cross_entropy(heads["b"](z)[there["b"]], targets["b"][there["b"]])
    torch.testing.assert_close(result.losses, torch.stack([a, b]).detach())
    parameters = (*trunk.parameters(), *heads["a"].parameters(), *heads["b"].parameters())
    for grad, true in zip(found, torch.autograd.grad(a + 2 * b, parameters), strict=True):
        torch.testing.assert_close(grad, true)


@pytest.mark.parametrize("name", ["gradnorm", "pcgrad", "famo", "graddrop", "uw"])
def test_balancers_learn_around_a_module_that_is_no_plain_stack(name: str) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tanh(self.inner(x)) + x.sum(1, keepdim=True)

    _, heads = modules()
    trunk, (inputs, targets) = Odd(), rows()
    parameters = [*trunk.parameters(), *heads["a"].parameters(), *heads["b"].parameters()]
    optimizer = torch.optim.Adam(parameters, lr=0.02)
    step = TrainingStep.around(trunk, heads, LOSSES, name)
    losses = []
    for epoch in range(1, 101):
        optimizer.zero_grad()
        losses.append(step.backward(inputs, targets, epoch).losses)
        optimizer.step()
    assert (losses[-1] < 0.5 * losses[0]).all()


def test_it_is_torchjd_s_upgrad() -> None:
    from torchjd.aggregation import UPGrad
    from torchjd.autojac import jac_to_grad, mtl_backward

    trunk, heads = modules()
    inputs = rows()[0]
    targets = {"a": inputs[:, :1], "b": (inputs[:, 1] > 0).long()}
    z = trunk(inputs)
    losses = [F.mse_loss(heads["a"](z), targets["a"]), F.cross_entropy(heads["b"](z), targets["b"])]
    mtl_backward(losses, features=z)
    jac_to_grad(trunk.parameters(), UPGrad())
    theirs = [p.grad.clone() for p in trunk.parameters()]
    for parameter in trunk.parameters():
        parameter.grad = None
    TrainingStep.around(trunk, heads, LOSSES, "upgrad").backward(inputs, targets)
    for parameter, grad in zip(trunk.parameters(), theirs, strict=True):
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-3, atol=1e-5)


def test_what_is_wrong_is_said() -> None:
    trunk, heads = modules()
    inputs, targets = rows()
    with pytest.raises(UserError, match="did you mean gradnorm"):
        TrainingStep.around(trunk, heads, LOSSES, "gradnrom")
    with pytest.raises(UserError, match="the heads of"):
        TrainingStep.around(trunk, heads, {"a": LOSSES["a"]})
    step = TrainingStep.around(trunk, heads, LOSSES | {"a": nn.MSELoss()}, balancers()["uniform"]())
    with pytest.raises(UserError, match='reduction="none"'):
        step.backward(inputs, targets)
