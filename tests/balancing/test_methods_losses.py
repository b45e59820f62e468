"""Methods that need losses only, against values worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch

from mtl_cli.balancing.base import Balancer, Decision
from mtl_cli.balancing.methods.dwa import DynamicWeightAverage
from mtl_cli.balancing.methods.famo import FastAdaptive
from mtl_cli.balancing.methods.gls import GeometricMean
from mtl_cli.balancing.methods.imtl import Impartial
from mtl_cli.balancing.methods.imtl_l import ImpartialLosses
from mtl_cli.balancing.methods.rlw import RandomWeighting
from mtl_cli.balancing.methods.si import ScaleInvariant
from mtl_cli.balancing.methods.stch import SmoothTchebycheff
from mtl_cli.balancing.methods.uw import UncertaintyWeighting
from mtl_cli.config.registry import components
from tests.balancing.weightings import drawn, imtl_g_weights, seen

CPU = torch.device("cpu")
LOSSES = torch.tensor([0.5, 2.0, 4.0])


def start(method: Balancer, tasks: int = 3) -> Mapping[str, torch.Tensor]:
    return method.init_state([str(task) for task in range(tasks)], CPU)


def decide(method: Balancer, losses: torch.Tensor = LOSSES) -> Decision:
    return method.decide(start(method, len(losses)), seen(losses))


def test_si_and_gls_are_gradients_of_log_and_geometric_mean() -> None:
    losses = LOSSES.clone().requires_grad_()
    for method, total in ((ScaleInvariant(), losses.log().sum()), (GeometricMean(), losses.log().mean().exp())):
        (expected,) = torch.autograd.grad(total, losses)
        torch.testing.assert_close(decide(method).weights, expected)


def test_gls_of_the_tasks_present() -> None:
    method, present = GeometricMean(), torch.tensor([True, False, True])
    weights = method.decide(start(method), seen(torch.tensor([0.5, 0.0, 4.0]), present)).weights
    small = decide(method, torch.tensor([0.5, 4.0])).weights
    torch.testing.assert_close(weights, torch.tensor([small[0], 1.0, small[1]]))


def test_rlw_draws_from_its_generator_and_sums_to_one() -> None:
    method = RandomWeighting()
    generator = torch.Generator().manual_seed(3)
    first, second = (method.decide(start(method), drawn(method, generator, seen(LOSSES))).weights for _ in range(2))
    generator.manual_seed(3)
    expected = torch.randn(3, generator=generator).softmax(0)
    torch.testing.assert_close(first, expected)
    assert not torch.equal(first, second)
    present = torch.tensor([True, False, True])
    partly = method.decide(start(method), drawn(method, generator, seen(LOSSES, present)))
    torch.testing.assert_close(partly.weights[[0, 2]].sum(), torch.tensor(1.0))


@pytest.mark.parametrize(
    ("method", "name", "objective"),
    [
        (UncertaintyWeighting(lr=0.1), "log_variance", lambda s, losses: ((-s).exp() * losses / 2 + s / 2).sum()),
        (ImpartialLosses(lr=0.1), "log_scale", lambda s, losses: (s.exp() * losses - s).sum()),
    ],
)
def test_learnt_scales_follow_adam_on_their_objective(method: Balancer, name: str, objective) -> None:
    state = start(method)
    learnt = state[name].clone().requires_grad_()
    optimizer = torch.optim.Adam([learnt], lr=0.1)
    for step in range(30):
        losses = LOSSES * (1 + 0.1 * math.sin(step))
        decision = method.decide(state, seen(losses))
        variable = losses.clone().requires_grad_()
        total = objective(learnt, variable)
        (expected,) = torch.autograd.grad(total, variable, retain_graph=True)
        torch.testing.assert_close(decision.weights, expected)
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        state = decision.state
        torch.testing.assert_close(state[name].float(), learnt.detach())


@pytest.mark.parametrize("method", [UncertaintyWeighting(), ImpartialLosses()])
def test_learnt_scales_reach_their_optimum(method: Balancer) -> None:
    state = start(method)
    for _ in range(3000):
        decision = method.decide(state, seen(LOSSES))
        state = decision.state
    expected = LOSSES.reciprocal() * (0.5 if isinstance(method, UncertaintyWeighting) else 1.0)
    torch.testing.assert_close(decision.weights, expected, rtol=1e-3, atol=0)


def test_dwa_weighs_by_the_ratio_of_the_last_two_epochs() -> None:
    method = DynamicWeightAverage()
    state = start(method, 2)
    weights = []
    epochs = [[(4.0, 1.0), (2.0, 3.0)], [(1.0, 1.0), (2.0, 1.0)], [(9.0, 9.0), (8.0, 8.0)], [(1.0, 1.0)]]
    for epoch, batches in enumerate(epochs, 1):
        for losses in batches:
            decision = method.decide(state, seen(torch.tensor(losses), epoch=epoch))
            state = decision.state
            weights.append(decision.weights)
    torch.testing.assert_close(torch.stack(weights[:4]), torch.ones(4, 2))
    third = 2 * (torch.tensor([1.5 / 3.0, 1.0 / 2.0]) / 2).softmax(0)
    fourth = 2 * (torch.tensor([8.5 / 1.5, 8.5 / 1.0]) / 2).softmax(0)
    torch.testing.assert_close(torch.stack(weights[4:]), torch.stack([third, third, fourth]))


def test_dwa_leaves_absent_tasks_out_of_their_mean() -> None:
    method = DynamicWeightAverage()
    state = start(method, 2)
    for epoch, losses, present in [
        (1, (4.0, 1.0), (True, True)),
        (1, (2.0, 0.0), (True, False)),
        (2, (1.0, 2.0), None),
    ]:
        mask = None if present is None else torch.tensor(present)
        state = method.decide(state, seen(torch.tensor(losses), mask, epoch=epoch)).state
    weights = method.decide(state, seen(torch.ones(2), epoch=3)).weights
    torch.testing.assert_close(weights, 2 * (torch.tensor([1.0 / 3.0, 2.0 / 1.0]) / 2).softmax(0))


def test_stch_is_the_gradient_of_its_smooth_maximum() -> None:
    method = SmoothTchebycheff(mu=0.7, warmup_epochs=2)
    state = start(method)
    for epoch, factor in ((1, 5.0), (2, 1.0), (2, 3.0)):
        decision = method.decide(state, seen(LOSSES * factor, epoch=epoch))
        torch.testing.assert_close(decision.weights, (LOSSES * factor).reciprocal())
        state = decision.state
    losses = torch.tensor([1.0, 2.0, 9.0], requires_grad=True)
    total = 3 * 0.7 * ((losses / (2 * LOSSES)).log() / 0.7).logsumexp(0)
    (expected,) = torch.autograd.grad(total, losses)
    torch.testing.assert_close(method.decide(state, seen(losses.detach(), epoch=3)).weights, expected)


def test_famo_follows_its_algorithm() -> None:
    method = FastAdaptive(lr=0.1, gamma=0.01)
    state = start(method)
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=0.1, weight_decay=0.01)
    for step in range(20):
        losses = LOSSES * 0.9**step
        variable = losses.clone().requires_grad_()
        shares = logits.softmax(0).detach()
        total = (shares * (variable + 1e-8).log()).sum() / (shares / (losses + 1e-8)).sum()
        (expected,) = torch.autograd.grad(total, variable)
        decision = method.decide(state, seen(losses))
        torch.testing.assert_close(decision.weights, expected)
        later = losses * torch.tensor([0.5, 0.9, 1.0])
        optimizer.zero_grad()
        (logits.softmax(0) @ (losses.log() - later.log())).backward()
        optimizer.step()
        state = method.after(decision.state, later)
        torch.testing.assert_close(state["logits"].float(), logits.detach(), rtol=1e-4, atol=1e-5)
    assert state["logits"].argmin() == 0  # it fell fastest


def test_imtl_is_imtl_g_on_scaled_gradients() -> None:
    method = Impartial()
    jacobian = torch.randn(3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state = {**start(method), "log_scale": torch.tensor([0.5, -1.0, 2.0])}
    decision = method.decide(state, seen(LOSSES, gramian=jacobian @ jacobian.T))
    scaled = state["log_scale"].double().exp()[:, None] * jacobian
    direction = imtl_g_weights(scaled @ scaled.T) @ scaled
    torch.testing.assert_close(decision.weights.double() @ jacobian, direction, rtol=1e-5, atol=1e-6)
    projections = scaled @ direction / scaled.norm(dim=1)
    torch.testing.assert_close(projections, projections[:1].expand(3))


LOSS_METHODS = [name for name, cls in components("balancer").items() if cls.needs == "losses" and name != "static"]


@pytest.mark.parametrize("name", LOSS_METHODS)
def test_absent_tasks_keep_weight_and_state(name: str) -> None:
    method = components("balancer")[name]()
    state = start(method)
    generator = torch.Generator().manual_seed(0)
    for step in range(3):
        decision = method.decide(state, drawn(method, generator, seen(LOSSES, epoch=1 + step, step=step)))
        state = method.after(decision.state, LOSSES * 0.9) if method.looks_ahead else decision.state
    present = torch.tensor([True, False, True])
    losses = LOSSES * present
    after = method.decide(state, drawn(method, generator, seen(losses, present, epoch=3, step=3)))
    following = method.after(after.state, losses * 0.9) if method.looks_ahead else after.state
    assert after.weights.isfinite().all()
    for key in set(following) - {"losses", "present", "shares"}:  # of the step itself
        assert following[key].isfinite().all() or key in ("last", "before")
        assert state[key].dim() == 0 or torch.equal(following[key][1], state[key][1]), key


def test_famo_does_not_mind_how_often_a_task_has_labels() -> None:
    """Two losses fall alike whenever they are seen, one in every step and the other in every tenth."""
    method = FastAdaptive()
    state, losses = start(method, 2), torch.ones(2)
    for step in range(1000):
        present = torch.tensor([True, step % 10 == 0])
        fallen = torch.where(present, 0.99 * losses, losses)
        state = method.decide(state, seen(losses * present, present)).state
        state, losses = method.after(state, fallen * present), fallen
    assert state["logits"].softmax(0).tolist() == pytest.approx([0.5, 0.5], abs=0.02)


def test_dwa_of_a_loss_that_was_zero() -> None:
    method = DynamicWeightAverage()
    state = start(method, 2)
    for epoch, losses in enumerate([[0.0, 1.0], [0.5, 1.0], [0.5, 1.0]], 1):
        decision = method.decide(state, seen(torch.tensor(losses), epoch=epoch))
        state = decision.state
    torch.testing.assert_close(decision.weights, torch.ones(2))


def test_gradnorm_begins_with_the_first_loss_above_zero() -> None:
    method = components("balancer")["gradnorm"]()
    state = start(method, 2)
    for losses in ([0.0, 1.0], [0.5, 0.5], [0.25, 0.5]):
        decision = method.decide(state, seen(torch.tensor(losses), norms=torch.ones(2)))
        state = decision.state
    torch.testing.assert_close(decision.columns["rate"], torch.ones(2))
    assert state["initial_losses"].tolist() == [0.5, 1.0]
