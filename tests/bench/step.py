"""What a training step costs: `python -m tests.bench.step [--threads 1 2]`.

The variants take turns in one process, a dozen steps on the same batch each, so that noise meets all of them alike and
each finds its own code and data in the caches, as in training (`--block 1` changes over at every step; the first steps
of a turn are not counted). Compared are medians. `hand` is a loop as one writes it in PyTorch, `torchjd` is TorchJD's
`mtl_backward` with its UPGrad, `passes` is a backward pass per task with `retain_graph`, the Jacobian in memory, and
the weights of our own UPGrad, so that only the ways to the gradients differ; `exact` and `representation` are
`balancer=upgrad`. All variants use the same fused Adam. TorchJD's UPGrad wants
`pip install quadprog qpsolvers`.

What is missed or lies on its bound, and where its floor is. Ratios of several runs on a two-core AVX2 machine that
others used too, so that each has a range; what a step takes swings there by a factor of two within minutes.

- wine: `uw` and `imtl_l` 1.04 to 1.13 of uniform (bound 1.15), `gls` 1.02 to 1.13, `famo` 1.37 to 1.48 (1.5), `exact`
  0.93 to 0.98 of passes (1.0) and 0.44 to 0.53 of torchjd (0.5; the last with `--block 1`). A plain step takes 0.7 ms
  there, hardly any of it arithmetic: some hundred calls of torch of 2 to 5 µs, whose code does not fit into the caches
  together. What a method adds is therefore two to three times dearer inside a step than by itself, and makes the rest
  of the step slower as well. One run of several with two threads, where the second only waits, gave 1.16 to 1.21 for
  `gls`, `si` and `imtl_l`, and 1.62 for `famo`.
- cells: `exact` 0.42 to 0.54 of torchjd (0.5). It takes 220 million multiplications with additions, 5.5 ms at the 40
  per ns that this machine makes of matrices this small: 107 forward, 54 for the weighted sum of the gradients, 20 for
  the products of the inputs' rows (33 without their symmetry), 13 to spread the tasks' gradients over them, 10 each for
  the second layer's gradients and for the way back to the first. Losses and their backward pass take 0.6 ms, Adam 0.6,
  and 0.9 is all that is left. TorchJD takes 330 million, and 14 to 28 ms: it holds 4 × 420 300 numbers, and how long it
  waits for their memory is what the ratio hangs on.
- wide: `exact` 0.82 to 0.85 of passes with one thread, 0.65 with two (0.75). Both take the same 0.9 GFLOP of products
  (256³ per task for the second layer's gradients, as much to send them on, a quarter of it for the first layer), which
  at this machine's 68 GFLOP/s is 13 ms of the 18 of `exact` and of the 21.5 of `passes`. Of the other 5, 2.2 are the
  forward pass, twelve losses and Adam, which `passes` has too; 0.9 is the Gramian, which reads 12 × 82 432 numbers. So
  0.76 is the floor here of any way that multiplies as much.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torchjd.aggregation import UPGrad
from torchjd.autojac import jac_to_grad, mtl_backward

from mtl_cli.balancing.base import Balancer, StepStatistics
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.registry import components
from tests.bench.workloads import WORKLOADS, Workload, loss

OUTPUT = Path("outputs") / "bench_step.csv"

Variant = Callable[[], None]

BOUNDS: dict[tuple[str, str], dict[str, float]] = {
    ("uniform", "hand"): {"wine": 1.05, "cells": 1.05, "wide": 1.05},
    ("gradnorm", "uniform"): {"wine": 1.6, "cells": 1.35, "wide": 3.0},
    ("representation", "uniform"): {"wine": 1.5, "cells": 1.5, "wide": 1.5},
    ("exact", "torchjd"): {"wine": 0.5, "cells": 0.5, "wide": 0.75},
    ("exact", "passes"): {"wine": 1.0, "cells": 0.65, "wide": 0.75},
}
"""The most that a variant may take of another's time."""


def variants(workload: Workload, extra: list[str]) -> dict[str, Variant]:
    """Return a function per variant that takes one step."""
    found = {
        "hand": _by_hand(workload),
        "torchjd": _torchjd(workload),
        "passes": _passes(workload),
        "exact": _ours(workload, components("balancer")["upgrad"]()),
        "representation": _ours(workload, components("balancer")["upgrad"](geometry="representation")),
    }
    for name in ["uniform", *extra]:
        found[name] = _ours(workload, components("balancer")[name]())
    return found


def _ours(workload: Workload, balancer: Balancer) -> Variant:
    model, batch = workload.network(), workload.batch()
    step = TrainingStep(model, workload.tasks(), balancer, torch.device("cpu"))
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    parameters = list(model.parameters())

    def take() -> None:
        for parameter in parameters:
            parameter.grad = None
        step(batch)
        optimizer.step()
        step.after(batch)

    return take


def _parts(workload: Workload) -> tuple[nn.Module, list[nn.Module], list[nn.Module], torch.optim.Adam]:
    model = workload.network()
    optimizer = torch.optim.Adam(model.parameters(), fused=True)
    return model.shared.trunk, list(model.heads.values()), [loss(width) for width in workload.heads], optimizer


def _losses(
    workload: Workload, z: torch.Tensor, heads: list[nn.Module], losses: list[nn.Module], targets: list[torch.Tensor]
) -> list[torch.Tensor]:
    outputs = [head(z) for head in heads]
    shaped = [
        output.squeeze(-1) if width < 2 else output for output, width in zip(outputs, workload.heads, strict=True)
    ]
    return [criterion(output, target) for criterion, output, target in zip(losses, shaped, targets, strict=True)]


def _by_hand(workload: Workload) -> Variant:
    trunk, heads, losses, optimizer = _parts(workload)
    batch = workload.batch()
    targets = list(batch.targets.values())

    def take() -> None:
        optimizer.zero_grad()
        z = trunk(batch.inputs)
        total = sum(_losses(workload, z, heads, losses, targets))
        assert isinstance(total, torch.Tensor)
        total.backward()
        optimizer.step()

    return take


def _torchjd(workload: Workload) -> Variant:
    trunk, heads, losses, optimizer = _parts(workload)
    batch, aggregator = workload.batch(), UPGrad()
    targets, shared = list(batch.targets.values()), list(trunk.parameters())
    own = [list(head.parameters()) for head in heads]

    def take() -> None:
        optimizer.zero_grad()
        z = trunk(batch.inputs)
        mtl_backward(_losses(workload, z, heads, losses, targets), features=z, tasks_params=own, shared_params=shared)
        jac_to_grad(shared, aggregator)
        optimizer.step()

    return take


def _passes(workload: Workload) -> Variant:
    trunk, heads, losses, optimizer = _parts(workload)
    batch, balancer = workload.batch(), components("balancer")["upgrad"]()
    state = balancer.init_state(list(batch.targets), torch.device("cpu"))
    targets, shared = list(batch.targets.values()), list(trunk.parameters())
    own = [list(head.parameters()) for head in heads]

    def take() -> None:
        optimizer.zero_grad()
        found = _losses(workload, trunk(batch.inputs), heads, losses, targets)
        rows = []
        for task_loss, theirs in zip(found, own, strict=True):
            gradients = torch.autograd.grad(task_loss, [*shared, *theirs], retain_graph=True)
            rows.append(torch.cat([gradient.view(-1) for gradient in gradients[: len(shared)]]))
            for parameter, gradient in zip(theirs, gradients[len(shared) :], strict=True):
                parameter.grad = gradient
        jacobian = torch.stack(rows)
        ones = torch.ones(len(rows))
        weights = balancer.decide(state, StepStatistics(ones, ones > 0, gramian=jacobian @ jacobian.T)).weights
        total = weights @ jacobian
        for parameter, gradient in zip(shared, total.split([p.numel() for p in shared]), strict=True):
            parameter.grad = gradient.view(parameter.shape)
        optimizer.step()

    return take


def measure(found: dict[str, Variant], rounds: int, block: int, clock: Callable[[], float]) -> dict[str, float]:
    """Return each variant's median seconds per step; the variants take turns, ``block`` steps each."""
    times: dict[str, list[float]] = {name: [] for name in found}
    for number in range(rounds + 1):
        for name, take in found.items():
            for _ in range(block // 4):
                take()
            for _ in range(block):
                started = clock()
                take()
                if number > 0:
                    times[name].append(clock() - started)
    return {name: statistics.median(values) for name, values in times.items()}


def _of_losses(names: list[str]) -> list[tuple[str, float]]:
    """Return the methods that need only losses, and the most they may take of uniform's time."""
    chosen = [(name, components("balancer")[name]) for name in names]
    return [(name, 1.5 if method.looks_ahead else 1.15) for name, method in chosen if method.needs == "losses"]


def compare(name: str, threads: int, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Time all variants of a workload, print the ratios, and return the times."""
    torch.set_num_threads(threads)
    clock = time.thread_time if arguments.cpu_time and threads == 1 else time.perf_counter
    extra = arguments.balancers
    if extra == ["all"]:
        extra = [method for method in components("balancer") if method not in ("uniform", "torchjd")]
    medians = measure(variants(WORKLOADS[name], extra), arguments.rounds, arguments.block, clock)
    print(f"\n{name}, {threads} thread(s)")
    for variant, seconds in medians.items():
        ratio = f"{seconds / medians['uniform']:6.2f} of uniform"
        print(f"  {variant:16} {seconds * 1e6:9.0f} µs {ratio} {seconds / medians['hand']:6.2f} of hand")
    bounds = BOUNDS | {(method, "uniform"): dict.fromkeys(WORKLOADS, most) for method, most in _of_losses(extra)}
    for (variant, other), most in bounds.items():
        if variant in medians:
            ratio = medians[variant] / medians[other]
            verdict = "holds" if ratio <= most[name] else "MISSED"
            print(f"  {variant} / {other}: {ratio:.2f}, bound {most[name]:.2f} {verdict}", flush=True)
    return [
        {"workload": name, "threads": threads, "variant": variant, "microseconds": seconds * 1e6}
        for variant, seconds in medians.items()
    ]


def main() -> None:
    """Time all variants, print the ratios and write the times."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--block", type=int, default=12, help="steps of a variant before the next takes its turn")
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--balancers", nargs="*", default=["gradnorm"], help="further methods, or 'all'")
    parser.add_argument(
        "--cpu-time", action="store_true", help="of one thread, where other programs take turns with it"
    )
    arguments = parser.parse_args()
    rows = [
        row
        for threads in arguments.threads
        for name in arguments.workloads
        for row in compare(name, threads, arguments)
    ]
    OUTPUT.parent.mkdir(exist_ok=True)
    with OUTPUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
