"""The contract of callbacks: the order of the hooks, stopping the training, and going on from a saved state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from mtl_cli.balancing.methods.gradnorm import GradNorm
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config import registry, schema
from mtl_cli.data.batches import Batches
from mtl_cli.data.inputs import InputSpec
from mtl_cli.inference.evaluate import Validation
from mtl_cli.models.network import build_network, shapes
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.training.callbacks.base import Callback, CallbackConfig, Epoch, RunInfo, TrainerState
from mtl_cli.training.callbacks.early_stopping import EarlyStopping
from mtl_cli.training.callbacks.learning_rate import LearningRate
from mtl_cli.training.callbacks.validation import Validate
from mtl_cli.training.optimizers import Adam
from mtl_cli.training.schedulers import StepDecay
from mtl_cli.training.trainer import Trainer
from tests.conftest import InProcess
from tests.models.small import CPU, part_of


class Hooks(Callback):
    """Writes down which hooks are called, and when."""

    def __init__(self, name: str, calls: list[str]) -> None:
        self.name, self.calls = name, calls

    def note(self, hook: str, trainer: TrainerState) -> None:
        self.calls.append(f"{self.name} {hook} {trainer.epoch} {trainer.steps}")

    def on_start(self, trainer: TrainerState) -> None:
        self.note("start", trainer)

    def on_epoch_start(self, trainer: TrainerState) -> None:
        assert trainer.model.training
        self.note("epoch_start", trainer)

    def on_gradients(self, trainer: TrainerState) -> None:
        assert all(parameter.grad is not None for parameter in trainer.model.parameters())
        self.note("gradients", trainer)

    def on_update(self, trainer: TrainerState) -> None:
        self.note("update", trainer)

    def on_step(self, trainer: TrainerState) -> None:
        self.note("step", trainer)

    def measure(self, trainer: TrainerState) -> Mapping[str, float]:
        self.note("measure", trainer)
        return {self.name: float(trainer.epoch)}

    def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
        assert epoch.history["epoch"] == epoch.history[self.name] == trainer.epoch
        self.note("epoch_end", trainer)

    def on_stop(self, trainer: TrainerState) -> None:
        self.note("stop", trainer)


class Stop(Callback):
    """Stops the training, or ends it as Ctrl-C does, in one step of the optimizer."""

    def __init__(self, step: int, error: type[BaseException] | None = None) -> None:
        self.step, self.error = step, error

    def on_step(self, trainer: TrainerState) -> None:
        if trainer.steps == self.step:
            if self.error is not None:
                raise self.error
            trainer.stop("enough")


def problem() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    x = np.random.default_rng(0).normal(size=(64, 4))
    return x, {"a": x[:, 0] + x[:, 1], "b": 3 * x[:, 1] - x[:, 2]}


def make(epochs: int, *more: Callback, patience: int = 100, lr: float = 0.01) -> tuple[Trainer, Batches]:
    """Return a trainer of a fresh network, of four steps an epoch, with every callback that has a state."""
    part, tasks = part_of(*problem())
    torch.manual_seed(0)
    model = schema.Model(trunk=MLP(hidden=[6], dropout=0.0))
    network = build_network(model, InputSpec("features", (4,)), shapes(tasks))
    settings = schema.Trainer(epochs=epochs, batch_size=16)
    optimizer = Adam(lr=lr).build(network.parameters(), CPU)
    step = TrainingStep(network, tasks, GradNorm(), CPU)
    callbacks = [
        Validate(Validation(Batches(part, CPU), tasks)),
        LearningRate(StepDecay(every=2, factor=0.5).build(optimizer, epochs)),
        EarlyStopping(schema.EarlyStopping(patience=patience, smooth=1)),
        *more,
    ]
    return Trainer(step, optimizer, settings, callbacks), Batches(part, CPU, 16)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in trainer.model.state_dict().values()]


def test_the_order_of_the_hooks() -> None:
    """In the callbacks' order, and in the reverse order at the end."""
    calls: list[str] = []
    trainer, batches = make(2, Hooks("x", calls), Hooks("y", calls))
    trainer.fit(batches)
    both = lambda hook: [f"x {hook}", f"y {hook}"]  # noqa: E731
    expected = both("start 0 0")
    for epoch in (1, 2):
        first = 4 * (epoch - 1)
        expected += both(f"epoch_start {epoch} {first}")
        for step in range(first, first + 4):
            after = [*both(f"update {epoch} {step + 1}"), *both(f"step {epoch} {step + 1}")]
            expected += [*both(f"gradients {epoch} {step}"), *after]
        expected += [*both(f"measure {epoch} {first + 4}"), *both(f"epoch_end {epoch} {first + 4}")]
    assert calls == [*expected, "y stop 2 8", "x stop 2 8"]


def test_a_callback_stops_the_training_in_the_middle_of_an_epoch() -> None:
    calls: list[str] = []
    trainer, batches = make(9, Stop(6), Hooks("x", calls))
    best = trainer.fit(batches)
    assert (trainer.epoch, trainer.steps, trainer.stopped) == (2, 6, "enough")
    assert best.epoch == 2
    assert calls[-2:] == ["x epoch_end 2 6", "x stop 2 6"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_ctrl_c_leaves_the_best_weights_and_stops_every_callback(error: type[BaseException]) -> None:
    calls: list[str] = []
    trainer, batches = make(9, Stop(14, error), Hooks("x", calls))
    with pytest.raises(error):
        trainer.fit(batches)
    assert calls[-1] == "x stop 4 14"
    until, again = make(3)
    until.fit(again)
    assert trainer.best.epoch == until.best.epoch == 3
    assert all(torch.equal(a, b) for a, b in zip(weights(trainer), weights(until), strict=True))


def test_a_callback_whose_start_failed_is_not_stopped() -> None:
    class Fails(Hooks):
        def on_start(self, trainer: TrainerState) -> None:
            raise RuntimeError("no server")

    calls: list[str] = []
    trainer, batches = make(1, Hooks("x", calls), Fails("y", calls), Hooks("z", calls))
    with pytest.raises(RuntimeError, match="no server"):
        trainer.fit(batches)
    assert calls == ["x start 0 0", "x stop 0 0"]


def test_a_training_goes_on_from_a_saved_state_to_the_bit(tmp_path: Path) -> None:
    """Six epochs at once, or three, and three more by a fresh trainer: balancer, optimizer, schedule, best weights."""

    class Save(Callback):
        def on_epoch_end(self, trainer: TrainerState, epoch: Epoch) -> None:
            assert isinstance(trainer, Trainer)
            if trainer.epoch == 3:
                torch.save(trainer.state_dict(), file)
                trainer.stop("saved")

    file = tmp_path / "state.pt"
    whole, batches = make(6)
    whole.fit(batches)
    first, order = make(6, Save())
    first.fit(order)
    second, _ = make(6, Callback())
    second.load_state_dict(torch.load(file, weights_only=True))
    assert (second.epoch, second.steps) == (3, 12)
    best = second.fit(order)  # the batches' order goes on: its generator is the batches' own
    assert (best.epoch, best.score) == (whole.best.epoch, whole.best.score)
    assert second.optimizer.param_groups[0]["lr"] == whole.optimizer.param_groups[0]["lr"] == 0.01 / 8
    assert all(torch.equal(a, b) for a, b in zip(weights(second), weights(whole), strict=True))
    assert torch.equal(second.step.weights, whole.step.weights)


@dataclass(frozen=True, kw_only=True)
class Brake(CallbackConfig):
    """Stops after some steps; says where the run is."""

    steps: int

    def build(self, run: RunInfo) -> Callback:
        run.notice(f"brake for {run.config['balancer']['name']} in {run.folder}")
        return Stop(self.steps)


def test_a_config_names_callbacks_of_plugins(mtl: InProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.components("callback")
    monkeypatch.setitem(registry._registered["callback"], "brake", Brake)
    keys = ["dataset=wine", "trainer.epochs=5", "plots=false", "run_dir=run"]
    status, _, err = mtl("train", *keys, "trainer.callbacks={brake: {steps: 25}}")
    assert status == 0, err
    assert "brake for uniform in run" in err
    assert pd.read_csv("run/mtl_history.csv")["epoch"].tolist() == [1, 2], "an epoch has 18 steps"
    assert mtl("train", "run/config.yaml", "run_dir=again")[0] == 0
    assert Path("run/predictions.csv").read_text() == Path("again/predictions.csv").read_text()
    for wrong, message in {
        "{break: {steps: 2}}": "did you mean brake?",
        "{brake: {step: 2}}": "trainer.callbacks.brake.step: unknown key; did you mean trainer.callbacks.brake.steps?",
    }.items():
        status, _, err = mtl("train", *keys, f"trainer.callbacks={wrong}")
        assert status == 2
        assert message in err
