"""What an exact Gramian step takes of memory: `python -m tests.bench.memory`.

Two workloads: the cells of the step benchmark with 20 000 inputs, where an exact step may take 1.3 times `uniform`, and
images of 32 × 32 pixels in a convolutional network with eight tasks, where `passes`, a backward pass per task that
keeps all gradients, is the way to compare with. Each method runs in a process of its own, whose peak memory is taken
above what it held once everything was imported.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from typing import Any

STEPS = 5
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Lets glibc give memory back at once: otherwise the holes in its heap, which differ from run to run, count too."""
BOUNDS = {"cells": 1.3, "images": None}


def peak() -> int:
    """Return the most memory this process has held, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def cells() -> tuple[Any, Any, Any]:
    """Return network, tasks and batch."""
    from tests.bench.workloads import WORKLOADS

    workload = dataclasses.replace(WORKLOADS["cells"], inputs=20_000)
    return workload.network(), workload.tasks(), workload.batch()


def images(rows: int = 64) -> tuple[Any, Any, Any]:
    """Return network, tasks and batch."""
    import torch

    from mtl_cli.config.schema import Model
    from mtl_cli.data.batches import Batch
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.network import build_network, shapes
    from mtl_cli.models.trunks.cnn import CNN
    from tests.bench.workloads import Workload

    workload = Workload(0, (), (0, 1, 1, 1, 1, 5, 5, 10), rows)
    torch.manual_seed(0)
    spec = InputSpec("image", (3, 32, 32), center=[128.0] * 3, scale=[64.0] * 3)
    trunk = CNN(channels=[32, 64, 64], kernel=3, norm="batch", dropout=0.0)
    network = build_network(Model(trunk=trunk), spec, shapes(workload.tasks()))
    pixels = torch.randint(0, 256, (rows, 3, 32, 32), dtype=torch.uint8)
    labels = workload.batch()
    return network, workload.tasks(), Batch(pixels, labels.targets, labels.masks)


def take_steps(method: str, workload: str) -> int:
    """Train a few steps, and return by how much the peak rose above what imports and torch's first use took."""
    import torch

    torch.set_num_threads(1)
    small = images(rows=2)
    _train(method, *small)
    before = peak()
    _train(method, *(cells() if workload == "cells" else images()))
    return peak() - before


def _train(method: str, model: Any, tasks: Any, batch: Any) -> None:
    import torch

    from mtl_cli.balancing.step import TrainingStep
    from mtl_cli.config.registry import components

    step: Callable[[Any], object]
    if method == "passes":
        step = _passes(model, tasks)
    else:
        step = TrainingStep(model, tasks, components("balancer")[method](), torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    for _ in range(STEPS):
        for parameter in model.parameters():
            parameter.grad = None
        step(batch)
        optimizer.step()


def _passes(model: Any, tasks: Any) -> Callable[[Any], None]:
    import torch

    def take(batch: Any) -> None:
        outputs = model(batch.inputs)
        parameters = list(model.parameters())
        rows = []
        for name, task in tasks.items():
            loss = task.loss(outputs[name], batch.targets[name]).mean()
            found = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([gradient.flatten() for gradient in found]))
        jacobian = torch.stack(rows)
        weights = (jacobian @ jacobian.T).diagonal().rsqrt()
        for parameter, piece in zip(
            parameters, (weights @ jacobian).split([p.numel() for p in parameters]), strict=True
        ):
            parameter.grad = piece.view(parameter.shape)

    return take


def main() -> None:
    """Print the peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--balancers", nargs="*", default=["gradnorm", "upgrad"])
    parser.add_argument("--child", nargs=2)
    arguments = parser.parse_args()
    if arguments.child:
        print(take_steps(*arguments.child))
        return
    for workload, bound in BOUNDS.items():
        found: dict[str, int] = {}
        print(workload)
        for name in ["uniform", "passes", *arguments.balancers]:
            command = [sys.executable, "-m", "tests.bench.memory", "--child", name, workload]
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | MALLOC)
            found[name] = int(done.stdout)
            ratio = found[name] / found["uniform"]
            verdict = (
                f"  bound {bound}: {'holds' if ratio <= bound else 'MISSED'}" if bound and name != "passes" else ""
            )
            print(f"  {name:12} {found[name] / 2**20:7.1f} MiB  {ratio:.2f} of uniform{verdict}", flush=True)


if __name__ == "__main__":
    main()
