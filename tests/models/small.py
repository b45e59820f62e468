"""Networks small enough to know the answer, trained by the real loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli.balancing.methods.uniform import Uniform
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.schema import Head, Model, Trainer
from mtl_cli.data.base import Part
from mtl_cli.data.batches import Batches
from mtl_cli.data.inputs import DenseRows, InputSpec
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.models.regularizer import Regularizer, Training
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.kinds.regression import Regression
from mtl_cli.training.callbacks.base import Epoch
from mtl_cli.training.callbacks.freeze import Freeze
from mtl_cli.training.callbacks.penalties import Penalties
from mtl_cli.training.optimizers import SGD
from mtl_cli.training.parameter_groups import parameter_groups
from mtl_cli.training.schedulers import Constant
from tests.training.fitting import fit

CPU = torch.device("cpu")
PLAIN = Regression(standardize=False)


def part_of(x: np.ndarray, labels: dict[str, Any], kinds: dict[str, Any] | None = None) -> tuple[Part, dict[str, Any]]:
    """Return rows and the tasks fitted to them; a label that is NaN is missing."""
    table = pd.DataFrame(labels)
    rows = np.arange(len(x))
    tasks = {name: (kinds or {}).get(name, PLAIN).fit(name, table, rows) for name in labels}
    columns = pd.DataFrame({name: task.labels(table) for name, task in tasks.items()})
    targets = {name: task.encode(columns[name]) for name, task in tasks.items()}
    return Part(DenseRows(x.astype("float32")), targets, pd.Series(rows), columns, np.zeros(len(x), bool)), tasks


@dataclass
class Trained:
    network: Network
    history: list[dict[str, Any]]
    regularizer: Regularizer | None
    training: Training
    epochs: list[Epoch]

    def weight(self, task: str) -> np.ndarray:
        return self.network.heads[task].weight.detach().double().numpy()[0]

    def stacked(self) -> np.ndarray:
        return np.concatenate([head.weight.detach().double().numpy() for head in self.network.heads.values()])


def train(
    x: np.ndarray, labels: dict[str, Any], regularizer: Any = None, hidden: list[int] | None = None,
    epochs: int = 400, optimizer: Any = None, batch_size: int | None = None, balancer: Any = None,
    kinds: dict[str, Any] | None = None, head: list[int] | None = None, seed: int = 0, freeze: int | None = 0,
    norm: str = "none", clip_norm: float | None = None, scheduler: Any = None,
    accumulate: int = 1,
) -> Trained:  # fmt: skip
    part, tasks = part_of(x, labels, kinds)
    torch.manual_seed(seed)
    trunk = MLP(hidden=hidden or [], dropout=0.0, norm=norm)  # type: ignore[arg-type]
    model = Model(trunk=trunk, head=Head(hidden=head or []))
    network = build_network(model, InputSpec("features", (x.shape[1],)), shapes(tasks))
    trainer = Trainer(
        epochs=epochs, batch_size=batch_size, early_stopping=None, clip_norm=clip_norm, accumulate=accumulate
    )
    batches = Batches(part, CPU, batch_size, seed)
    config = optimizer or SGD(lr=0.1, momentum=0.0)
    made = config.build(parameter_groups(network, config), CPU)
    notices: list[str] = []
    training = Training(network, tasks, batches, notices.append)
    acting = None if regularizer is None else regularizer.build(training)
    penalties = Penalties(network, acting, "term", made)
    step = TrainingStep(network, tasks, balancer or Uniform(), CPU)
    holding = None if freeze == 0 else Freeze(network, step, freeze)
    found: list[Epoch] = []
    advance = (scheduler or Constant()).build(made, epochs)
    fit(network, step, batches, made, advance, trainer, None, found.append, penalties=penalties, freeze=holding)
    return Trained(network, [epoch.history for epoch in found], acting, training, found)
