"""Steps whose forward pass runs in half precision, against the same steps in float32."""

import copy
from dataclasses import replace

import pytest
import torch

from mtl_cli.balancing.mixed_precision import PATIENCE, MixedPrecision
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Head, Model, Trainer
from tests.balancing.test_step import CPU, TRUNKS, Told, TwoTrunks, gradients, make_batch, make_tasks, network
from tests.conftest import InProcess
from tests.training.fitting import fit

METHODS = {
    "uniform": {},
    "uw": {},
    "famo": {"shift": 3.0},
    "gradnorm": {},
    "nash_mtl": {},
    "upgrad": {},
    "upgrad at z": {"geometry": "representation"},
    "db_mtl": {"shift": 3.0},
}


def method(name):
    return components("balancer")[name.split()[0]](**METHODS[name])


def in_half(precision, *arguments):
    """Return a step in this precision; float16 as on a GPU, which the config does not allow here."""
    step = TrainingStep(*arguments, CPU, precision="bfloat16")
    if precision == "float16":
        step.precision.dtype, step.precision.scale = torch.float16, 2.0**10
    return step


def apart(found, expected):
    """Return the distance relative to the expected length, over all tensors together."""
    missed = sum(float((found[name] - value).norm()) ** 2 for name, value in expected.items())
    return (missed / sum(float(value.norm()) ** 2 for value in expected.values())) ** 0.5


@pytest.mark.parametrize("hidden", [[], [4]])
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_gradients_weights_and_state_are_those_of_float32(precision, name, trunk, hidden):
    tasks = make_tasks(weight=3.0)
    model = network(Model(trunk=TRUNKS[trunk], head=Head(hidden=hidden)), tasks)
    other, batch = copy.deepcopy(model), make_batch({"good": (torch.arange(24) % 2).float()})
    step, exact = in_half(precision, model, tasks, method(name)), TrainingStep(other, tasks, method(name), CPU)
    for _ in range(2):
        model.zero_grad(), other.zero_grad()
        found, expected = step(batch), exact(batch)
        assert step.settle(1)
        exact.settle(1)
        assert all(p.grad.dtype == torch.float32 for p in model.parameters() if p.grad is not None)
        assert found.losses.dtype == found.weights.dtype == torch.float32
        torch.testing.assert_close(found.losses, expected.losses, rtol=0.02, atol=0.01)
        torch.testing.assert_close(found.weights, expected.weights, rtol=0.1, atol=0.01)
        assert apart(gradients(model), gradients(other)) < 0.1
        if expected.gramian is not None:
            assert float((found.gramian - expected.gramian).norm() / expected.gramian.norm()) < 0.05
        step.after(batch), exact.after(batch)


@pytest.mark.parametrize("needs", ["losses", "norms", "gramian", "jacobian"])
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_a_model_that_is_no_plain_stack(precision, needs):
    kind = type("Needing", (Told,), {"needs": needs})
    asked, wanted = [], []
    torch.manual_seed(0)
    model = TwoTrunks()
    other, batch = copy.deepcopy(model), make_batch()
    step = in_half(precision, model, make_tasks(), kind(asked=asked))
    step(batch)
    assert step.settle(1)
    TrainingStep(other, make_tasks(), kind(asked=wanted), CPU)(batch)
    assert apart(gradients(model), gradients(other)) < 0.05
    for name in ("norms", "gramian", "jacobian"):
        seen, expected = getattr(asked[0], name), getattr(wanted[0], name)
        assert (seen is None) == (expected is None)
        if expected is not None:
            assert seen.dtype == torch.float32
            assert float((seen - expected).norm() / expected.norm()) < 0.05


def test_batches_add_up_in_half_precision_too():
    tasks = make_tasks()
    model = network(Model(trunk=TRUNKS["plain"]), tasks)
    step, batch = in_half("float16", model, tasks, method("gradnorm")), make_batch()
    step(batch)
    first = step.state["weights"]
    step(batch)
    assert step.settle(2)
    assert not torch.equal(step.state["weights"], first)
    assert 0.1 < float(torch.cat([p.grad.flatten() for p in model.parameters()]).norm()) < 10


@pytest.mark.parametrize("name", ["gradnorm", "upgrad", "famo", "rlw"])
def test_a_step_that_overflows_leaves_the_balancer_as_it_was(name):
    tasks = make_tasks()
    model = network(Model(trunk=TRUNKS["plain"]), tasks)
    balancer = components("balancer")[name]()
    balancer = replace(balancer, shift=3.0) if balancer.needs_losses != "any" else balancer
    step, batch = in_half("float16", model, tasks, balancer), make_batch()
    step(batch)
    assert step.settle(1)
    before = step.state_dict()
    step.precision.scale = 2.0**140  # beyond float32, in which the known layers go back
    model.zero_grad()
    step(batch)
    assert not step.settle(1)
    assert step.precision.scale == 2.0**139
    assert (before["good"], step.precision.good) == (1, 0), "the count of steps that went well starts again"
    after = step.state_dict() | {"scale": before["scale"], "good": before["good"]}
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    step.precision.scale = 2.0**10
    model.zero_grad()
    step(batch)
    assert step.settle(1)


def test_the_scale_falls_until_it_is_hopeless_and_rises_after_many_steps():
    precision = MixedPrecision("bfloat16", CPU)
    precision.dtype, precision.scale = torch.float16, 4.0
    precision.learn(False)
    assert precision.scale == 2
    for _ in range(PATIENCE):
        precision.learn(True)
    assert precision.scale == 4
    precision.learn(False)
    precision.learn(False)
    assert precision.scale == 1
    with pytest.raises(UserError, match=r"trainer\.precision"):
        precision.learn(False)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_float16_is_not_for_the_cpu(mtl: InProcess, device, tmp_path):
    if device == "auto" and torch.cuda.is_available():
        pytest.skip("auto is the GPU here")
    status, _, err = mtl("train", "dataset=wine", "trainer.precision=float16", f"device={device}", "run_dir=here")
    assert status == 2
    assert "trainer.precision" in err
    assert "bfloat16" in err
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("balancer", ["gradnorm", "upgrad"])
def test_a_run_in_bfloat16_learns_as_well(mtl: InProcess, balancer):
    import json

    scores = []
    for precision in ("float32", "bfloat16"):
        status, out, err = mtl(
            "train", "dataset=wine", f"balancer={balancer}", f"trainer.precision={precision}", "trainer.epochs=8",
            "plots=false", f"run_dir={precision}",
        )  # fmt: skip
        assert status == 0, err
        scores.append(json.loads(out)["score"])
    assert scores[0] > 0.2
    assert abs(scores[0] - scores[1]) < 0.05


def test_the_loop_passes_over_steps_that_overflow():
    tasks = make_tasks()
    model = network(Model(trunk=TRUNKS["plain"]), tasks)
    before = copy.deepcopy(model.state_dict())
    step = in_half("float16", model, tasks, method("gradnorm"))
    step.precision.scale = 2.0**30
    optimizer, epochs = torch.optim.SGD(model.parameters(), lr=0.05), []

    def on_epoch(epoch):
        epochs.append(epoch)
        if len(epochs) == 1:  # it overflowed in both steps
            assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())

    trainer = Trainer(epochs=30, accumulate=2, log_balance=1)
    fit(model, step, [make_batch()] * 4, optimizer, lambda score: None, trainer, None, on_epoch)
    assert epochs[0].balance == []
    losses = [epoch.history["loss_total"] for epoch in epochs]
    assert losses[0] != losses[0]
    assert losses[-1] < losses[10] < 10
    assert [row["step"] for row in epochs[-1].balance] == list(range(step.steps - 3, step.steps + 1))
