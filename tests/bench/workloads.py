"""The workloads that steps are timed on, with random data."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from mtl_cli.config.schema import Model
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.models.sharing.hard import Hard
from mtl_cli.models.sharing.mmoe import MMoE
from mtl_cli.models.trunks.cnn import CNN
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.kinds.binary import BinaryTask
from mtl_cli.tasks.kinds.multiclass import MulticlassTask
from mtl_cli.tasks.kinds.regression import RegressionTask
from mtl_cli.tasks.task import Task


@dataclass(frozen=True)
class Workload:
    """A network and a batch.

    Parameters
    ----------
    inputs : int
        Features; or the height and width of images of one channel, for a CNN.
    hidden : tuple of int
        The trunk's layers.
    heads : tuple of int
        The width of each head: 0 is a regression, 1 binary, more are classes.
    rows : int
        Of a batch.
    kind : {"mlp", "mmoe", "cnn"}
        An MLP that all tasks share, a mixture of four of them, or a small CNN.
    """

    inputs: int
    hidden: tuple[int, ...]
    heads: tuple[int, ...]
    rows: int
    kind: Literal["mlp", "mmoe", "cnn"] = "mlp"

    def tasks(self) -> dict[str, Task]:
        """Return one task per head."""
        return {f"task{i}": _task(f"task{i}", width) for i, width in enumerate(self.heads)}

    def network(self) -> Network:
        """Return the network, the same at each call."""
        torch.manual_seed(0)
        if self.kind == "cnn":
            spec = InputSpec("image", (1, self.inputs, self.inputs), center=[128.0], scale=[64.0])
            config = Model(trunk=CNN(hidden=list(self.hidden), dropout=0.0))
        else:
            spec = InputSpec("features", (self.inputs,))
            sharing = MMoE() if self.kind == "mmoe" else Hard()
            config = Model(trunk=MLP(hidden=list(self.hidden), dropout=0.0), sharing=sharing)
        network = build_network(config, spec, shapes(self.tasks()))
        return copy.deepcopy(network)

    def batch(self) -> Batch:
        """Return a batch, the same at each call."""
        generator = torch.Generator().manual_seed(1)
        if self.kind == "cnn":
            shape = (self.rows, 1, self.inputs, self.inputs)
            inputs = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        else:
            inputs = torch.randn(self.rows, self.inputs, generator=generator)
        targets = {f"task{i}": _labels(width, self.rows, generator) for i, width in enumerate(self.heads)}
        return Batch(inputs, targets, dict.fromkeys(targets))


WORKLOADS = {
    "wine": Workload(11, (64, 64), (0, 1), 128),
    "cells": Workload(2000, (200, 100), (6, 19, 30, 55), 128),
    "wide": Workload(64, (256, 256), (1,) * 12, 256),
    "mmoe": Workload(11, (64, 64), (0, 1), 128, "mmoe"),
    "mmoe_cells": Workload(2000, (200, 100), (6, 19, 30, 55), 128, "mmoe"),
    "cnn": Workload(8, (128,), (10, 1), 128, "cnn"),
}


def _task(name: str, width: int) -> Task:
    if width == 0:
        return RegressionTask(name, [name], 1.0, False, "mse", 1.0, "none", None)
    if width == 1:
        return BinaryTask(name, [name], 1.0, False, [0, 1], None, None)
    return MulticlassTask(name, [name], 1.0, False, list(range(width)), None, 0.0)


def _labels(width: int, rows: int, generator: torch.Generator) -> torch.Tensor:
    if width == 0:
        return torch.randn(rows, generator=generator)
    if width == 1:
        return torch.randint(0, 2, (rows,), generator=generator).float()
    return torch.randint(0, width, (rows,), generator=generator)


def loss(width: int) -> nn.Module:
    """Return torch's own loss of a head, as one writes it by hand."""
    if width == 0:
        return nn.MSELoss()
    return nn.BCEWithLogitsLoss() if width == 1 else nn.CrossEntropyLoss()
