"""GradNorm against its paper, written out literally, and against the wrong versions in circulation."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mtl_cli.balancing.methods.gradnorm import GradNorm
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.schema import Head, Model
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import Network, Shape, build_network
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.kinds.binary import BinaryTask
from mtl_cli.tasks.kinds.regression import RegressionTask
from tests.balancing.weightings import seen

CPU = torch.device("cpu")
STEPS = 60
ALPHA, LR = 1.5, 0.025

TASKS = {
    "price": RegressionTask("price", ["price"], 1.0, False, "mse", 1.0, "none", None),
    "size": RegressionTask("size", ["size"], 1.0, False, "mse", 1.0, "none", None),
    "sold": BinaryTask("sold", ["sold"], 1.0, False, ["no", "yes"], None, None),
}


def network(norm: str = "batch") -> Network:
    torch.manual_seed(0)
    config = Model(trunk=MLP(hidden=[16, 8], norm=norm, dropout=0.0), head=Head(hidden=[4]))
    return build_network(config, InputSpec("features", (5,)), dict.fromkeys(TASKS, Shape(1))).double()


def batches(steps: int = STEPS) -> list[Batch]:
    """Tasks of very different loss scale and pace."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for _ in range(steps):
        x = torch.randn(32, 5, generator=generator, dtype=torch.float64)
        targets = {
            "price": 4 * x[:, 0] + torch.randn(32, generator=generator, dtype=torch.float64),
            "size": x[:, 1] * x[:, 2],
            "sold": (x[:, 3] > 0).double(),
        }
        made.append(Batch(x, targets, dict.fromkeys(targets)))
    return made


def losses_of(model: Network, batch: Batch) -> list[torch.Tensor]:
    outputs = model(batch.inputs)
    return [task.loss(outputs[name], batch.targets[name]).mean() for name, task in TASKS.items()]


def literal(wrong: str | None = None, alpha: float = ALPHA) -> tuple[np.ndarray, Network]:
    """Algorithm 1 of the paper, line by line, with double backward; ``wrong`` puts in one known mistake."""
    model = network()
    weights = torch.ones(3, dtype=torch.float64, requires_grad=True)
    weight_optimizer = torch.optim.Adam([weights], lr=LR)
    network_optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    layer = list(model.shared.trunk.parameters())[-1] if wrong == "last parameter" else model.last_shared_layer.weight
    initial, trajectory = None, []
    for batch in batches():
        losses = torch.stack(losses_of(model, batch))
        initial = losses.detach() if initial is None else initial
        trajectory.append(weights.detach().numpy().copy())
        scaled = losses if wrong == "unweighted norms" else weights * losses
        norms = torch.stack([torch.autograd.grad(loss, layer, create_graph=True)[0].norm() for loss in scaled])
        ratio = losses.detach() / initial
        rates = ratio / ratio.mean()
        if wrong == "one target":
            rates = rates.mean().expand(3)
        exponent = -alpha if wrong == "flipped exponent" else alpha
        target = (norms.mean() * rates**exponent).detach()
        gradnorm_loss = (norms - target).abs().sum()
        if wrong == "task loss":
            gradnorm_loss = gradnorm_loss + (weights * losses).sum()
        found = torch.autograd.grad(gradnorm_loss, weights, retain_graph=True, allow_unused=True)[0]
        weights.grad = torch.zeros_like(weights) if found is None else found
        network_optimizer.zero_grad()
        network_gradients = torch.autograd.grad((weights.detach() * losses).sum(), list(model.parameters()))
        for parameter, gradient in zip(model.parameters(), network_gradients, strict=True):
            parameter.grad = gradient
        weight_optimizer.step()
        network_optimizer.step()
        with torch.no_grad():
            weights.clamp_(min=1e-4)
            weights *= 3 / weights.sum()
    return np.array(trajectory), model


def ours(alpha: float = ALPHA, heads: str = "weighted") -> tuple[np.ndarray, Network]:
    model = network()
    step = TrainingStep(model, TASKS, GradNorm(alpha=alpha, lr=LR, heads=heads), CPU)
    double_precision(step)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    trajectory = []
    for batch in batches():
        optimizer.zero_grad()
        trajectory.append(step(batch).weights.numpy().copy())
        optimizer.step()
    return np.array(trajectory), model


def double_precision(step: TrainingStep) -> None:
    step.state = {name: tensor.double() for name, tensor in step.state.items()}
    step.task_weights = step.task_weights.double()


@pytest.mark.parametrize("alpha", [0.0, 0.12, 1.5])
def test_it_is_algorithm_1_of_the_paper(alpha: float) -> None:
    expected, model = literal(alpha=alpha)
    found, ours_model = ours(alpha=alpha)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    for a, b in zip(model.parameters(), ours_model.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("wrong", ["task loss", "unweighted norms", "last parameter", "flipped exponent", "one target"])
def test_it_is_none_of_the_known_wrong_versions(wrong: str) -> None:
    mistaken, _ = literal(wrong)
    right, _ = literal()
    found, _ = ours()
    assert np.abs(found - right).max() < 1e-8
    assert np.abs(found - mistaken).max() > 1e-2, "a version with this mistake would have passed"


def test_weights_sum_to_the_number_of_tasks_at_every_step() -> None:
    trajectory, _ = ours()
    np.testing.assert_allclose(trajectory.sum(1), 3, rtol=1e-12)
    assert (trajectory > 0).all()
    assert trajectory.std(0).min() > 0.01, "the weights should have moved"


def test_gradient_of_the_weights_equals_finite_differences_with_the_target_held() -> None:
    balancer = GradNorm()
    weights = torch.tensor([0.4, 1.7, 0.9], dtype=torch.float64)
    norms = torch.tensor([2.0, 0.3, 1.1], dtype=torch.float64)
    losses = torch.tensor([1.0, 0.5, 0.7], dtype=torch.float64)
    initial = torch.tensor([2.0, 0.6, 3.0], dtype=torch.float64)
    state = {name: tensor.double() for name, tensor in balancer.init_state(list("abc"), CPU).items()}
    state |= {"weights": weights, "initial_losses": initial}
    after = balancer.decide(state, seen(losses, None, norms)).state
    gradient = after["mean"] / 0.1  # the first moment after one step is (1 - beta1) times the gradient

    ratio = losses / initial
    target = (weights * norms).mean() * (ratio / ratio.mean()) ** balancer.alpha

    def loss(w: torch.Tensor) -> torch.Tensor:
        return (w * norms - target).abs().sum()

    h = 1e-6
    for i in range(3):
        bump = torch.zeros(3, dtype=torch.float64)
        bump[i] = h
        difference = (loss(weights + bump) - loss(weights - bump)) / (2 * h)
        assert float(gradient[i]) == pytest.approx(float(difference), rel=1e-6)


def test_the_network_gets_the_gradient_of_the_weighted_sum_and_nothing_else() -> None:
    model, batch = network(), batches(1)[0]
    step = TrainingStep(model, TASKS, GradNorm(), CPU)
    double_precision(step)
    step.state = {**step.state, "weights": torch.tensor([0.5, 2.0, 0.5], dtype=torch.float64)}
    reference = copy.deepcopy(model)
    weights = step(batch).weights
    (weights * torch.stack(losses_of(reference, batch))).sum().backward()
    for ours_parameter, parameter in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(ours_parameter.grad, parameter.grad, rtol=1e-9, atol=1e-12)


def test_heads_unit_trains_heads_on_unweighted_losses() -> None:
    model, batch = network(), batches(1)[0]
    step = TrainingStep(model, TASKS, GradNorm(heads="unit"), CPU)
    double_precision(step)
    step.state = {**step.state, "weights": torch.tensor([0.5, 2.0, 0.5], dtype=torch.float64)}
    reference = copy.deepcopy(model)
    step(batch)
    torch.stack(losses_of(reference, batch)).sum().backward()
    for name in TASKS:
        for a, b in zip(model.head_parameters(name), reference.head_parameters(name), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("norm", ["none", "batch", "layer"])
def test_the_last_shared_layer_is_the_last_linear_weight(norm: str) -> None:
    model = network(norm)
    layer = model.last_shared_layer
    assert isinstance(layer, nn.Linear)
    assert layer.weight.shape == (8, 16)
    assert any(parameter is layer.weight for parameter in model.shared_parameters())


def test_logged_norms_are_those_of_the_weighted_losses() -> None:
    model, batch = network(), batches(1)[0]
    step = TrainingStep(model, TASKS, GradNorm(), CPU)
    double_precision(step)
    weights = torch.tensor([0.5, 2.0, 0.5], dtype=torch.float64)
    step.state = {**step.state, "weights": weights}
    reference = copy.deepcopy(model)
    norm = step(batch).columns["norm"]
    layer = reference.last_shared_layer.weight
    expected = [
        torch.autograd.grad(w * loss, layer, retain_graph=True)[0].norm()
        for w, loss in zip(weights, losses_of(reference, batch), strict=True)
    ]
    torch.testing.assert_close(norm, torch.stack(expected), rtol=1e-9, atol=0)


def test_a_slow_task_gets_a_higher_target() -> None:
    """Equal norms and weights: only the rates differ, so the slow task's weight must rise."""
    balancer = GradNorm()
    state = {**balancer.init_state(["slow", "fast"], CPU), "initial_losses": torch.ones(2)}
    after = balancer.decide(state, seen(torch.tensor([0.9, 0.1]), None, torch.ones(2))).state["weights"]
    assert after[0] > 1 > after[1]


def test_alpha_zero_balances_constant_norms() -> None:
    """With alpha = 0 and fixed gradients n the fixed point is w ∝ 1 / n, up to steps of the size of lr."""
    balancer = GradNorm(alpha=0.0, lr=0.005)
    norms = torch.tensor([4.0, 1.0])
    state = balancer.init_state(["a", "b"], CPU)
    for _ in range(2000):
        state = balancer.decide(state, seen(torch.ones(2), None, norms)).state
    torch.testing.assert_close(state["weights"].float(), torch.tensor([0.4, 1.6]), atol=0.02, rtol=0)


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 1000))
def test_permuting_tasks_permutes_weights(order: list[int], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    balancer, index = GradNorm(), torch.tensor(order)
    state = permuted = balancer.init_state(list("abcd"), CPU)
    for _ in range(5):
        losses, norms = torch.rand(2, 4, generator=random) + 0.1
        state = balancer.decide(state, seen(losses, None, norms)).state
        permuted = balancer.decide(permuted, seen(losses[index], None, norms[index])).state
    torch.testing.assert_close(permuted["weights"], state["weights"][index])


def test_a_task_without_labels_in_a_batch_sits_out() -> None:
    balancer = GradNorm()
    state = balancer.init_state(["a", "b", "c"], CPU)
    losses, norms = torch.tensor([1.0, 2.0, 0.5]), torch.tensor([1.0, 3.0, 0.2])
    state = balancer.decide(state, seen(losses, None, norms)).state
    absent = seen(torch.tensor([0.9, 0.0, 0.5]), torch.tensor([True, False, True]), torch.tensor([1.0, 0.0, 0.2]))
    after = balancer.decide(state, absent).state
    for name in ("weights", "initial_losses", "mean", "mean_square", "steps"):
        assert after[name][1] == state[name][1], name
    assert after["weights"].sum() == pytest.approx(3)
    assert after["weights"].isfinite().all()


def test_a_task_that_appears_late_takes_its_first_loss_as_its_initial_loss() -> None:
    balancer = GradNorm()
    state = balancer.init_state(["a", "b"], CPU)
    first = seen(torch.tensor([1.0, 0.0]), torch.tensor([True, False]), torch.tensor([1.0, 0.0]))
    state = balancer.decide(state, first).state
    state = balancer.decide(state, seen(torch.tensor([1.0, 7.0]), None, torch.ones(2))).state
    assert state["initial_losses"].tolist() == [1.0, 7.0]


def test_one_task_keeps_weight_one() -> None:
    balancer = GradNorm()
    state = balancer.init_state(["a"], CPU)
    for loss in (3.0, 2.0, 1.0):
        state = balancer.decide(state, seen(torch.tensor([loss]), None, torch.tensor([2.0]))).state
    assert state["weights"].tolist() == [1.0]


def test_rates_are_unknown_where_all_losses_are_zero() -> None:
    """None then trains faster than the others: the rates are NaN, and the weights stay finite."""
    balancer = GradNorm()
    state = {**balancer.init_state(["a", "b"], CPU), "initial_losses": torch.ones(2)}
    decision = balancer.decide(state, seen(torch.zeros(2), None, torch.ones(2)))
    assert decision.columns["rate"].isnan().all()
    assert decision.state["weights"].isfinite().all()
