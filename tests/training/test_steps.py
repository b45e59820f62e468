"""What an epoch's steps leave in the history and the weights file, and what stops a run."""

import copy
import csv
import json
import math
import os
import subprocess
import sys

import pytest
import torch

from mtl_cli.balancing.result import gramian_columns
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Trainer
from tests.balancing.test_step import Ahead, Told, make, make_batch
from tests.training.fitting import fit


def run(balancer, batches, epochs=1, log_balance="epoch", lr=0.01):
    """Train, and return the model and what each epoch told."""
    model, step = make(balancer)
    optimizer, epochs_told = torch.optim.SGD(model.parameters(), lr=lr), []
    trainer = Trainer(epochs=epochs, early_stopping=None, log_balance=log_balance)
    try:
        fit(model, step, batches, optimizer, lambda score: None, trainer, None, epochs_told.append)
    except UserError as error:
        return model, epochs_told, str(error)
    return model, epochs_told, None


def uniform():
    return components("balancer")["uniform"]()


def test_history_is_the_mean_over_labelled_rows():
    mask = (torch.arange(24) < 6).float()
    batches = [make_batch({"size": mask}), make_batch()]
    model, step = make(uniform())
    with torch.no_grad():
        outputs = model(batches[0].inputs)
        rows = step.tasks["size"].loss(outputs["size"], batches[0].targets["size"])
    _, told, _ = run(uniform(), batches, lr=1e-12)
    expected = float((rows[:6].sum() + rows.sum()) / 30)
    assert told[0].history["loss_size"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("every", "steps"), [("epoch", [4, 8]), (3, [1, 4, 7]), (100, [1])])
def test_rows_of_the_weights_file(every, steps):
    _, told, _ = run(Told(), [make_batch()] * 4, epochs=2, log_balance=every)
    rows = [row for epoch in told for row in epoch.balance]
    assert [row["step"] for row in rows] == steps
    assert all(row["weight_good"] == 0.5 for row in rows)
    assert all(
        {"norm_size", "cosine_size_good", "cosine_good_kind", "conflicts", "condition"} <= set(row) for row in rows
    )


def test_many_steps_are_packed():
    _, told, _ = run(components("balancer")["gradnorm"](), [make_batch()] * 300)
    assert told[0].balance[0]["step"] == 300
    assert told[0].history["loss_total"] == pytest.approx(
        sum(told[0].history[f"loss_{name}"] * (0.5 if name == "kind" else 1) for name in ("size", "good", "kind")),
        rel=0.3,
    )


def test_columns_stay_though_the_balancer_is_asked_seldom():
    _, told, _ = run(Told(update_every=3), [make_batch()] * 2, epochs=3)
    assert len({tuple(epoch.balance[0]) for epoch in told}) == 1


def test_what_a_gramian_says():
    jacobian = torch.tensor([[3.0, 4.0], [4.0, -3.0], [-6.0, -8.0], [0.0, 0.0]])
    columns = gramian_columns(list("abcd"), jacobian @ jacobian.T)
    assert [columns[f"norm_{name}"] for name in "abcd"] == pytest.approx([5, 5, 10, 0])
    assert columns["cosine_a_b"] == pytest.approx(0, abs=1e-9)
    assert columns["cosine_a_c"] == pytest.approx(-1)
    assert math.isnan(columns["cosine_a_d"])
    assert columns["conflicts"] == pytest.approx(1 / 3)
    assert columns["condition"] == math.inf
    assert gramian_columns(list("ab"), torch.diag(torch.tensor([8.0, 2.0])))["condition"] == pytest.approx(4)
    assert not any(name.startswith("cosine") for name in gramian_columns([f"t{i}" for i in range(9)], torch.eye(9)))


def test_a_norm_whose_square_is_too_small_a_number_says_nothing():
    """Its cosines are those of a task without a label: NaN, and no conflict."""
    gramian = torch.tensor([[4.0, -1e-25, 2.0], [-1e-25, 0.0, -1e-25], [2.0, -1e-25, 4.0]])
    columns = gramian_columns(list("abc"), gramian)
    assert columns["norm_b"] == 0
    assert math.isnan(columns["cosine_a_b"]) and math.isnan(columns["cosine_b_c"])
    assert columns["cosine_a_c"] == pytest.approx(0.5)
    assert columns["conflicts"] == 0
    assert columns["condition"] == pytest.approx(3)
    of_two = gramian_columns(list("ab"), gramian[:2, :2])
    assert all(math.isnan(of_two[name]) for name in ("cosine_a_b", "conflicts", "condition"))
    below_normal = torch.tensor([[1e-40, -1e-30], [-1e-30, 1.0]])
    assert math.isnan(gramian_columns(list("ab"), below_normal)["cosine_a_b"])
    assert gramian_columns(["a"], torch.tensor([[2.0]]))["condition"] == 1


def broken(at, value=math.nan):
    """Return four batches, of which one has a label for `good` that is not finite."""
    batches = [make_batch() for _ in range(4)]
    batches[at].targets["good"][0] = value
    return batches


@pytest.mark.parametrize("name", ["uniform", "gradnorm", "upgrad", "pcgrad", "graddrop"])
@pytest.mark.parametrize("at", [0, 2, 3])
def test_a_loss_that_is_not_finite(name, at):
    _, told, error = run(components("balancer")[name](), broken(at))
    assert error is not None
    assert not told
    assert "tasks.good" in error
    assert f"in epoch 1, step {at + 1}" in error
    assert "\n" not in error


class Spoil(torch.autograd.Function):
    """The identity, whose gradient is not finite."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * math.inf


@pytest.mark.parametrize("name", ["uniform", "gradnorm", "upgrad"])
def test_a_gradient_that_is_not_finite(name):
    """The loss is fine, the gradient of the last step is not: the task is named, the last good weights stay."""
    model, step = make(components("balancer")[name]())
    task = step.tasks["good"]
    loss, good = type(task).loss, []

    class Spoiled(type(task)):
        def loss(self, output, target):
            return loss(self, Spoil.apply(output) if step.steps == 3 else output, target)

    step.tasks["good"] = Spoiled(**vars(task))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    trainer = Trainer(epochs=5, early_stopping=None)
    keep = lambda epoch: good.append(copy.deepcopy(model.state_dict()))  # noqa: E731
    with pytest.raises(UserError, match=r"tasks.good: the gradient is not finite in epoch 2, step 4"):
        fit(model, step, [make_batch()] * 2, optimizer, lambda score: None, trainer, None, keep)
    assert len(good) == 1
    assert all(torch.equal(value, good[0][key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("name", ["uniform", "famo", "gradnorm", "pcgrad"])
def test_a_gradient_that_is_not_finite_within_an_epoch(name):
    """All losses are NaN from the next step on: what names the task is what that step's own gradients left."""
    _, step = make(components("balancer")[name]())
    model, loss = step.model, type(step.tasks["good"]).loss

    class Spoiled(type(step.tasks["good"])):
        def loss(self, output, target):
            return loss(self, Spoil.apply(output) if step.steps == 1 else output, target)

    step.tasks["good"] = Spoiled(**vars(step.tasks["good"]))
    optimizer, trainer = torch.optim.SGD(model.parameters(), lr=0.01), Trainer(epochs=1, early_stopping=None)
    with pytest.raises(UserError, match=r"tasks.good: the gradient is not finite in epoch 1, step 2"):
        fit(model, step, [make_batch()] * 4, optimizer, lambda score: None, trainer, None, lambda epoch: None)


def test_rows_say_in_which_step_the_balancer_saw_what_they_tell():
    _, told, _ = run(Told(update_every=3), [make_batch()] * 5, epochs=2)
    assert [(epoch.balance[0]["step"], epoch.balance[0]["seen_step"]) for epoch in told] == [(5, 4), (10, 10)]
    _, told, _ = run(Told(), [make_batch()] * 2)
    assert "seen_step" not in told[0].balance[0]


@pytest.mark.parametrize(
    ("name", "lowest", "stops"),
    [
        ("si", 0.0, True), ("gls", 0.0, True), ("stch", 0.0, True), ("uw", 0.0, False), ("gradnorm", 0.0, False),
        ("gradnorm", -1.0, True), ("dwa", -1.0, True), ("imtl_l", -1.0, True), ("imtl", -1.0, True), ("uw", -1.0, True),
        ("famo", -1.0, True), ("db_mtl", -1.0, True), ("uniform", -1.0, False), ("mgda", -1.0, False),
    ],
)  # fmt: skip
def test_losses_below_what_the_method_needs(name, lowest, stops):
    def train(shift):
        model, step = make(components("balancer")[name](shift=shift))
        task = step.tasks["good"]
        task.__class__ = type("Low", (type(task),), {"loss": lambda self, o, t: (o[:, 0] - o[:, 0].detach()) + lowest})
        optimizer, trainer = torch.optim.SGD(model.parameters(), lr=1e-3), Trainer(epochs=1, early_stopping=None)
        fit(model, step, [make_batch()] * 3, optimizer, lambda score: None, trainer, None, lambda epoch: None)
        assert all(bool(p.isfinite().all()) for p in model.parameters())

    if not stops:
        return train(0.0)
    with pytest.raises(UserError, match=rf"tasks.good: the loss is {lowest:.4g} in epoch 1, step 1.*balancer\.shift="):
        train(0.0)
    return train(2.0)


def test_losses_that_must_be_positive():
    batches = [make_batch(), make_batch()]
    model, step = make(Ahead())
    step.tasks["good"].__class__ = type(
        "Negative", (type(step.tasks["good"]),), {"loss": lambda self, o, t: o[:, 0] * 0 - 2.5}
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    trainer = Trainer(epochs=1, early_stopping=None)
    with pytest.raises(UserError, match=r"tasks.good: the loss is -2.5 in epoch 1, step 1.*balancer\.shift=4"):
        fit(model, step, batches, optimizer, lambda score: None, trainer, None, lambda epoch: None)


@pytest.mark.parametrize("balancer", ["uniform", "upgrad"])
def test_the_command(tmp_path, balancer):
    """A run that goes astray ends with one line and exit status 2."""
    command = [
        sys.executable,
        "-m",
        "mtl_cli",
        "train",
        "dataset=wine",
        f"balancer={balancer}",
        "plots=false",
        "trainer.folds=none",
    ]
    options = ["run_dir=run", "trainer.epochs=3", "trainer.log_balance=20", "trainer.batch_size=128"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"
    with (tmp_path / "run" / f"{balancer}_weights.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [1, 21]
    options = ["run_dir=bad", "optimizer=sgd", "optimizer.lr=1e30", "trainer.batch_size=128"]
    done = subprocess.run(
        [*command, *options], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert "in epoch 1, step" in done.stderr
    assert json.loads((tmp_path / "bad" / "run.json").read_text())["status"] == "failed"
    assert not (tmp_path / "bad" / "mtl_model.pt").exists(), "no epoch ended well: there is no model to keep"
