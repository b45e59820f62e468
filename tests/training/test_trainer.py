"""The loop: what it minimises, when it stops, what it keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mtl_cli.balancing.methods.static import Static
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import EarlyStopping, Model, Trainer
from mtl_cli.data.base import Part
from mtl_cli.data.batches import Batches
from mtl_cli.data.inputs import DenseRows, InputSpec
from mtl_cli.inference.evaluate import Validation
from mtl_cli.models.network import Network, Shape, build_network
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.regression import Regression
from mtl_cli.training.callbacks.base import Best, Epoch
from mtl_cli.training.optimizers import SGD, Adam
from mtl_cli.training.schedulers import Constant
from tests.training.fitting import fit

CPU = torch.device("cpu")


def data(rows: int = 200, missing: float = 0.0) -> tuple[Part, dict[str, Any]]:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4)).astype("float32")
    table = pd.DataFrame({"y": x[:, 0] * 2 + x[:, 1], "b": x[:, 2] > 0})
    table["b"] = table["b"].astype("object").mask(random.random(rows) < missing)
    tasks = {"y": Regression().fit("y", table, np.arange(rows)), "b": Binary().fit("b", table, np.arange(rows))}
    labels = pd.DataFrame({name: task.labels(table) for name, task in tasks.items()})
    targets = {name: task.encode(labels[name]) for name, task in tasks.items()}
    return Part(DenseRows(x), targets, pd.Series(range(rows)), labels, np.zeros(rows, bool)), tasks


def run(
    trainer: Trainer, validate: bool = True, optimizer: Any = None, missing: float = 0.0, seed: int = 0,
    weights: dict[str, float] | None = None, scheduler: Any = None, change: Callable[[Network], None] | None = None,
) -> tuple[Network, list[Epoch], Best]:  # fmt: skip
    part, tasks = data(missing=missing)
    torch.manual_seed(seed)
    model = build_network(
        Model(trunk=MLP(hidden=[16], dropout=0.1)), InputSpec("features", (4,)), {"y": Shape(1), "b": Shape(1)}
    )
    if change is not None:
        change(model)
    batches = Batches(part, CPU, trainer.batch_size, seed)
    made = (optimizer or Adam()).build(model.parameters(), CPU)
    advance = (scheduler or Constant()).build(made, trainer.epochs)
    step = TrainingStep(model, tasks, Static(weights=weights or {}), CPU)
    validation = Validation(batches, tasks) if validate else None
    epochs: list[Epoch] = []
    best = fit(model, step, batches, made, advance, trainer, validation, epochs.append)
    return model, epochs, best


def test_it_learns() -> None:
    _, epochs, best = run(Trainer(epochs=60))
    assert best.score > 0.6
    assert epochs[-1].history["loss_y"] < epochs[0].history["loss_y"] / 5


def test_one_seed_is_one_result_to_the_bit() -> None:
    first, second, other = (run(Trainer(epochs=5), seed=seed, missing=0.3)[0] for seed in (1, 1, 2))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_early_stopping_gives_back_the_best_weights() -> None:
    trainer = Trainer(epochs=300, early_stopping=EarlyStopping(patience=4))
    model, epochs, best = run(trainer, optimizer=Adam(lr=0.1))
    scores = [epoch.history["val_score"] for epoch in epochs]
    assert best.epoch == int(np.argmax(scores)) + 1
    assert len(epochs) == best.epoch + 4 < 300
    part, tasks = data()
    assert Validation(Batches(part, CPU), tasks)(model)["val_score"] == pytest.approx(max(scores), abs=1e-6)


def test_without_early_stopping_the_last_weights_are_kept() -> None:
    _, epochs, best = run(Trainer(epochs=7, early_stopping=None))
    assert (len(epochs), best.epoch, best.weights) == (7, 7, None)


def test_without_validation_rows_there_is_no_score() -> None:
    _, epochs, best = run(Trainer(epochs=3), validate=False)
    assert "val_score" not in epochs[0].history
    assert np.isnan(best.score)


def test_missing_labels_neither_count_nor_break() -> None:
    _, epochs, best = run(Trainer(epochs=60), missing=0.7)
    assert best.score > 0.4
    assert np.isfinite(epochs[-1].history["loss_b"])


def test_the_total_is_the_weighted_sum() -> None:
    _, epochs, _ = run(Trainer(epochs=2, batch_size=None), weights={"y": 3.0})
    for epoch in epochs:
        row = epoch.history
        assert row["loss_total"] == pytest.approx(3 * row["loss_y"] + row["loss_b"], rel=1e-5)
        assert epoch.balance[-1]["weight_y"] == 3


def test_full_batch_is_one_step_per_epoch() -> None:
    _, epochs, _ = run(Trainer(epochs=3, batch_size=None, early_stopping=None))
    assert [epoch.balance[-1]["step"] for epoch in epochs] == [1, 2, 3]


def test_clipping_bounds_the_step() -> None:
    before: dict[str, torch.Tensor] = {}

    def remember(model: Network) -> None:
        before.update({name: p.detach().clone() for name, p in model.named_parameters()})

    trainer = Trainer(epochs=1, batch_size=None, clip_norm=0.001, early_stopping=None)
    model, _, _ = run(trainer, optimizer=SGD(lr=1.0, momentum=0.0, nesterov=False), change=remember)
    moved = torch.cat([(p - before[name]).flatten() for name, p in model.named_parameters()]).norm()
    assert float(moved.detach()) == pytest.approx(0.001, rel=1e-3)


def test_a_loss_that_is_not_finite_names_the_task() -> None:
    with pytest.raises(
        UserError, match=r"tasks.*: the (loss|gradient) is .* in epoch \d+, step \d+; a lower optimizer.lr"
    ):
        run(Trainer(epochs=50), optimizer=SGD(lr=1e12))


def test_a_loss_that_explodes_later_leaves_the_best_weights() -> None:
    class Explode:
        def build(self, optimizer: Any, epochs: int) -> Callable[[Any], None]:
            self.epoch = 0

            def advance(score: Any) -> None:
                self.epoch += 1
                if self.epoch == 4:
                    optimizer.param_groups[0]["lr"] = 1e30

            return advance

    kept: list[Network] = []
    with pytest.raises(UserError, match="in epoch"):
        run(Trainer(epochs=50), scheduler=Explode(), change=kept.append, optimizer=SGD(lr=0.01))
    part, tasks = data()
    assert Validation(Batches(part, CPU), tasks)(kept[0])["val_score"] > 0.2


def lrs(name: str, train_epochs: int = 20, **keys: Any) -> np.ndarray:
    scheduler = components("scheduler")[name](**keys)
    _, found, _ = run(Trainer(epochs=train_epochs, early_stopping=None), scheduler=scheduler, optimizer=SGD(lr=0.1))
    return np.array([epoch.history["lr"] for epoch in found])


def test_schedules() -> None:
    epoch = np.arange(20)
    np.testing.assert_allclose(lrs("none"), 0.1)
    np.testing.assert_allclose(lrs("cosine"), 0.05 * (1 + np.cos(np.pi * epoch / 19)), atol=1e-9)
    np.testing.assert_allclose(lrs("step", every=6, factor=0.5), 0.1 * 0.5 ** (epoch // 6))
    warm = lrs("warmup")
    assert (np.diff(warm[:6]) > 0).all()
    assert warm[5] == pytest.approx(0.1)
    assert (np.diff(warm[5:]) < 0).all()
    assert warm[-1] == pytest.approx(0, abs=1e-9)


def test_plateau_lowers_the_rate_when_the_score_stands_still() -> None:
    found = lrs("plateau", train_epochs=60, patience=2, factor=0.1)
    assert found[0] == 0.1
    assert found[-1] < 0.05


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_optimizers_are_torchs(name: str) -> None:
    """Three steps on a quadratic, against torch's own class made in the usual way."""
    ours = components("optimizer")[name](lr=0.05, weight_decay=0.01)
    theirs: dict[str, Any] = {
        "adam": lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.01),
        "adamw": lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.01),
        "sgd": lambda p: torch.optim.SGD(p, 0.05, 0.9, weight_decay=0.01, nesterov=True),
        "rmsprop": lambda p: torch.optim.RMSprop(p, 0.05, weight_decay=0.01),
    }
    found = []
    for make in (lambda p: ours.build(p, CPU), theirs[name]):
        parameter = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        optimizer = make([parameter])
        for _ in range(3):
            parameter.grad = None
            parameter.square().sum().backward()
            optimizer.step()
        found.append(parameter.detach())
    torch.testing.assert_close(found[0], found[1])
