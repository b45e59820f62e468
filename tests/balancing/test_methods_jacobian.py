"""Methods that need the Jacobian, against their equations and against TorchJD; and other methods against TorchJD."""

from __future__ import annotations

import pytest
import torch

from mtl_cli.balancing.methods.db_mtl import DualBalancing
from mtl_cli.balancing.methods.excess_mtl import ExcessMTL
from mtl_cli.balancing.methods.graddrop import GradDrop, graddrop_direction
from mtl_cli.balancing.methods.pcd import PriorityConstrained
from mtl_cli.balancing.methods.torchjd import CLASSES, TorchJD
from mtl_cli.config.errors import UserError
from mtl_cli.config.parse import parse
from tests.balancing.weightings import (
    aligned_mtl_weights,
    conflict_free_weights,
    drawn,
    imtl_g_weights,
    mgda_weights,
    seen,
)

CPU = torch.device("cpu")
NAMES = ["a", "b", "c"]


def gradients(seed: int, tasks: int = 3) -> torch.Tensor:
    return torch.randn(tasks, 11, generator=torch.Generator().manual_seed(seed))


def test_graddrop_keeps_one_sign_at_every_coordinate() -> None:
    jacobian = torch.tensor([[1.0, -2.0, 3.0, 0.0], [-1.0, -1.0, 1.0, 0.0], [2.0, 4.0, 1.0, 0.0]])
    # purities ½ (1 + 2/4), ½ (1 + 1/7), 1, none
    drawn = torch.tensor([0.7, 0.6, 0.99, 0.5])
    torch.testing.assert_close(graddrop_direction(jacobian, drawn, 0.0), torch.tensor([3.0, -3.0, 5.0, 0.0]))
    torch.testing.assert_close(graddrop_direction(jacobian, 1 - drawn, 0.0), torch.tensor([3.0, 4.0, 5.0, 0.0]))
    half = graddrop_direction(jacobian, drawn, 0.5)
    torch.testing.assert_close(half, torch.tensor([2.5, -1.0, 5.0, 0.0]))


def test_graddrop_agrees_with_torchjd() -> None:
    from torchjd.aggregation import GradDrop as Reference

    jacobian, method = gradients(0), GradDrop(leak=0.3)
    torch.manual_seed(5)
    expected = Reference(leak=torch.full((3,), 0.3))(jacobian)
    generator = torch.Generator().manual_seed(5)
    statistics = drawn(method, generator, seen(torch.ones(3), jacobian=jacobian))
    torch.testing.assert_close(method.decide(method.init_state(NAMES, CPU), statistics).direction, expected)


def test_excess_mtl_agrees_with_torchjd_after_warm_up() -> None:
    from torchjd.aggregation import ExcessMTLWeighting

    method, reference = ExcessMTL(step_size=0.5, warmup_epochs=1), ExcessMTLWeighting(0.5, n_warmup_steps=4)
    state = method.init_state(NAMES, CPU)
    for step in range(12):
        jacobian = gradients(step)
        statistics = seen(torch.ones(3), jacobian=jacobian, epoch=1 + step // 4, step=step)
        decision = method.decide(state, statistics)
        torch.testing.assert_close(decision.weights, reference(jacobian), rtol=1e-4, atol=1e-6)
        state = decision.state


def test_excess_mtl_without_warm_up_takes_the_first_excess_as_its_level() -> None:
    method = ExcessMTL(step_size=0.5, warmup_epochs=0)
    decision = method.decide(method.init_state(NAMES, CPU), seen(torch.ones(3), jacobian=gradients(0)))
    torch.testing.assert_close(decision.weights, torch.full((3,), 1 / 3))


def test_excess_mtl_leaves_absent_tasks_alone() -> None:
    method = ExcessMTL(step_size=0.5, warmup_epochs=0)
    state = method.decide(method.init_state(NAMES, CPU), seen(torch.ones(3), jacobian=gradients(0))).state
    present = torch.tensor([True, False, True])
    decision = method.decide(state, seen(torch.ones(3), present, jacobian=gradients(1) * present[:, None]))
    torch.testing.assert_close(decision.weights.sum(), torch.tensor(1.0))
    for key in ("weights", "squares", "initial", "count"):
        torch.testing.assert_close(decision.state[key][1], state[key][1])


def test_db_mtl_follows_its_algorithm() -> None:
    method = DualBalancing(beta=0.8, sigma=0.5)
    state, mean = method.init_state(NAMES, CPU), torch.zeros(3, 11)
    losses = torch.tensor([0.5, 2.0, 40.0])
    for step in range(5):
        jacobian = gradients(step)
        decision = method.decide(state, seen(losses, jacobian=jacobian, step=step))
        beta = 0.8 / (step + 1) ** 0.5
        mean = beta * mean + (1 - beta) * jacobian / losses[:, None]
        lengths = mean.norm(dim=1)
        torch.testing.assert_close(decision.direction, lengths.max() * (mean / lengths[:, None]).sum(0))
        torch.testing.assert_close(decision.weights, 1 / losses)
        state = decision.state
    present = torch.tensor([True, False, True])
    partly = method.decide(state, seen(losses * present, present, jacobian=gradients(9) * present[:, None], step=5))
    torch.testing.assert_close(partly.state["mean"][1], state["mean"][1])
    assert partly.direction is not None
    assert partly.direction.isfinite().all()
    assert partly.weights[1] == state["weights"][1]


@pytest.mark.parametrize("seed", range(20))
def test_agreement_with_torchjd_where_it_is_exact(seed: int) -> None:
    from torchjd.aggregation import AlignedMTLWeighting, ConFIG, IMTLGWeighting, MGDAWeighting

    jacobian = gradients(seed, tasks=2 + seed % 5).double()
    gramian = jacobian @ jacobian.T
    torch.testing.assert_close(imtl_g_weights(gramian), IMTLGWeighting()(gramian))
    for size, theirs in (("min", "min"), ("mean", "rmse")):
        torch.testing.assert_close(aligned_mtl_weights(gramian, size), AlignedMTLWeighting(scale_mode=theirs)(gramian))
    torch.testing.assert_close(conflict_free_weights(gramian) @ jacobian, ConFIG()(jacobian))
    finer = MGDAWeighting(epsilon=1e-9, max_iters=20_000)(gramian)
    torch.testing.assert_close(mgda_weights(gramian), finer, rtol=0, atol=1e-2)  # Frank–Wolfe is slow
    assert mgda_weights(gramian) @ gramian @ mgda_weights(gramian) <= finer @ gramian @ finer + 1e-12


def test_pcd_agrees_with_torchjd_over_steps_and_with_contradicting_constraints() -> None:
    from torchjd.aggregation import PCDWeighting

    method, reference = PriorityConstrained(tau=0.3), PCDWeighting(tau=0.3)
    state = method.init_state(["a", "b", "c", "d"], CPU)
    for step in range(25):
        jacobian = gradients(step, tasks=4).double()
        if step % 5 == 4:
            jacobian[2] = -2 * jacobian[1]
        decision = method.decide(state, seen(torch.ones(4), gramian=jacobian @ jacobian.T))
        expected = reference(jacobian @ jacobian.T)
        torch.testing.assert_close(decision.weights.double(), expected, rtol=1e-5, atol=1e-6)
        state = decision.state


def test_the_primary_task_can_be_any() -> None:
    jacobian = gradients(0).double()
    order = [2, 0, 1]
    first, last = PriorityConstrained(), PriorityConstrained(primary="c")
    moved = jacobian[order]
    expected = first.decide(first.init_state(NAMES, CPU), seen(torch.ones(3), gramian=moved @ moved.T)).weights
    found = last.decide(last.init_state(NAMES, CPU), seen(torch.ones(3), gramian=jacobian @ jacobian.T)).weights
    torch.testing.assert_close(found[order], expected)


@pytest.mark.parametrize("name", ["aligned_mtl", "imtl_g", "mean", "mgda", "sum"])
def test_weightings_of_torchjd_pass_through(name: str) -> None:
    import torchjd.aggregation

    jacobian = gradients(3).double()
    gramian = jacobian @ jacobian.T
    method = TorchJD(weighting=name)  # type: ignore[arg-type]
    expected = getattr(torchjd.aggregation, CLASSES[name][0])()(gramian)
    found = method.decide(method.init_state(NAMES, CPU), seen(torch.ones(3), gramian=gramian)).weights
    torch.testing.assert_close(found, expected.float())


@pytest.mark.parametrize(
    ("balancer", "where", "hint"),
    [
        ({"weighting": "krum"}, "balancer.options.n_byzantine", "balancer.options.n_byzantine"),
        ({"weighting": "krum", "options": {"n_byzantin": 1}}, "balancer.options.n_byzantin", "n_byzantine"),
        ({"weighting": "mdga"}, "balancer.weighting", "mgda"),
    ],
)
def test_wrong_options_of_torchjd_are_the_users(balancer: dict[str, object], where: str, hint: str) -> None:
    raw = {
        "dataset": {"kind": "csv", "path": "x.csv"},
        "tasks": {"a": "regression", "b": "regression", "c": "regression"},
        "model": {"trunk": {"kind": "mlp"}},
        "balancer": {"name": "torchjd", **balancer},
        "optimizer": {"name": "adam"},
        "scheduler": {"name": "none"},
    }
    with pytest.raises(UserError) as caught:
        parse(raw)
    (problem,) = (problem for problem in caught.value.problems if problem.where.startswith("balancer"))
    assert problem.where == where
    assert hint in str(problem.hint)
