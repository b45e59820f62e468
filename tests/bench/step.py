"""What a training step costs: `python -m tests.bench.step` prints a table with the bounds, and says which fail.

The variants take turns in one process, a dozen steps on the same batch each, so that noise meets all of them alike and
each finds its own code and data in the caches, as in training (`--block 1` changes over at every step; the first steps
of a turn are not counted). A ratio is the median over the turns of the ratio of two variants' medians in the same
turn; with one thread, times are of the processor, so that other programs count little, and a machine that is busy
with others still makes the ratios larger: they take the caches. All variants use the same fused Adam.

`hand` is a loop as one writes it in PyTorch. `torchjd` is TorchJD's `mtl_backward` with its UPGrad, which wants
`pip install quadprog qpsolvers`. `passes` is a backward pass per task with `retain_graph` in 25 lines, the Jacobian in
memory, and the weights of our own UPGrad. `exact`, `reference` and `representation` are `balancer=upgrad`, with
`backend=auto`, with `backend=reference`, and with `geometry=representation`. `hand_representation` and `hand_gradnorm`
are the last one and GradNorm as one writes them in PyTorch: what such a method costs at least without another idea.
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
from mtl_cli.models.network import Network
from tests.bench.workloads import WORKLOADS, Workload, loss

OUTPUT = Path("outputs") / "bench_step.csv"

Variant = Callable[[], None]

BOUNDS: dict[tuple[str, str], dict[str, float]] = {
    ("uniform", "hand"): dict.fromkeys(WORKLOADS, 1.05),
    ("gradnorm", "uniform"): {"wine": 1.9, "cells": 1.3},
    ("representation", "uniform"): {"wine": 1.5, "cells": 1.5, "wide": 1.5},
    ("exact", "torchjd"): {"wine": 0.75, "cells": 0.55, "wide": 0.75},
    ("exact", "reference"): {
        "wine": 1.05, "cells": 0.7, "wide": 0.95, "mmoe": 1.05, "mmoe_cells": 0.65, "cnn": 1.05
    },
}  # fmt: skip
"""The most that a variant may take of another's time, by workload."""


def variants(name: str, extra: list[str]) -> dict[str, Variant]:
    """Return a function per variant that takes one step."""
    workload, upgrad = WORKLOADS[name], components("balancer")["upgrad"]
    found = {
        "hand": _by_hand(workload),
        "passes": _passes(workload),
        "exact": _ours(workload, upgrad()),
        "reference": _ours(workload, upgrad(backend="reference")),
    }
    if workload.kind == "mlp":
        found["torchjd"] = _torchjd(workload)
        found["hand_gradnorm"] = _gradnorm_by_hand(workload)
    if workload.kind != "mmoe":
        found["representation"] = _ours(workload, upgrad(geometry="representation"))
        found["hand_representation"] = _representation_by_hand(workload)
    for method in ["uniform", *extra]:
        found[method] = _ours(workload, components("balancer")[method]())
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


def _parts(workload: Workload) -> tuple[Network, list[nn.Module], torch.optim.Adam]:
    model = workload.network()
    return model, [loss(width) for width in workload.heads], torch.optim.Adam(model.parameters(), fused=True)


def _losses(
    workload: Workload, model: Network, z: dict[str, torch.Tensor], losses: list[nn.Module], targets: list[torch.Tensor]
) -> list[torch.Tensor]:
    outputs = [head(z[name]) for name, head in model.heads.items()]
    shaped = [
        output.squeeze(-1) if width < 2 else output for output, width in zip(outputs, workload.heads, strict=True)
    ]
    return [criterion(output, target) for criterion, output, target in zip(losses, shaped, targets, strict=True)]


def _by_hand(workload: Workload) -> Variant:
    model, losses, optimizer = _parts(workload)
    batch = workload.batch()
    targets = list(batch.targets.values())

    def take() -> None:
        optimizer.zero_grad()
        total = sum(_losses(workload, model, model.shared(batch.inputs), losses, targets))
        assert isinstance(total, torch.Tensor)
        total.backward()
        optimizer.step()

    return take


def _torchjd(workload: Workload) -> Variant:
    model, losses, optimizer = _parts(workload)
    batch, aggregator = workload.batch(), UPGrad()
    targets, shared = list(batch.targets.values()), model.shared_parameters()
    own = [list(head.parameters()) for head in model.heads.values()]

    def take() -> None:
        optimizer.zero_grad()
        z = model.shared(batch.inputs)
        found, (features, *_) = _losses(workload, model, z, losses, targets), z.values()
        mtl_backward(found, features=features, tasks_params=own, shared_params=shared)
        jac_to_grad(shared, aggregator)
        optimizer.step()

    return take


def _passes(workload: Workload) -> Variant:
    model, losses, optimizer = _parts(workload)
    batch, balancer = workload.batch(), components("balancer")["upgrad"]()
    state = balancer.init_state(list(batch.targets), torch.device("cpu"))
    targets, shared = list(batch.targets.values()), model.shared_parameters()
    known = {id(p) for p in shared}
    others = [p for p in model.parameters() if id(p) not in known]
    present = torch.ones(len(targets), dtype=torch.bool)

    def take() -> None:
        optimizer.zero_grad()
        found = _losses(workload, model, model.shared(batch.inputs), losses, targets)
        rows = []
        for task_loss in found:
            gradients = torch.autograd.grad(task_loss, [*shared, *others], retain_graph=True, allow_unused=True)
            rows.append(
                torch.cat([gradient.flatten() for gradient in gradients[: len(shared)] if gradient is not None])
            )
            for parameter, gradient in zip(others, gradients[len(shared) :], strict=True):
                parameter.grad = parameter.grad if gradient is None else gradient
        jacobian = torch.stack(rows)
        statistics = StepStatistics(torch.ones(len(rows)), present, gramian=jacobian @ jacobian.T)
        total = balancer.decide(state, statistics).weights @ jacobian
        for parameter, gradient in zip(shared, total.split([p.numel() for p in shared]), strict=True):
            parameter.grad = gradient.view(parameter.shape)
        optimizer.step()

    return take


def _representation_by_hand(workload: Workload) -> Variant:
    model, losses, optimizer = _parts(workload)
    batch, balancer = workload.batch(), components("balancer")["upgrad"]()
    state, targets = balancer.init_state(list(batch.targets), torch.device("cpu")), list(batch.targets.values())
    ones = torch.ones(len(targets))

    def take() -> None:
        optimizer.zero_grad()
        z, *_ = (read := model.shared(batch.inputs)).values()
        leaf, rows = z.detach().requires_grad_(), []
        for task_loss in _losses(workload, model, dict.fromkeys(read, leaf), losses, targets):
            leaf.grad = None
            task_loss.backward()
            assert leaf.grad is not None
            rows.append(leaf.grad.flatten())
        jacobian = torch.stack(rows)
        statistics = StepStatistics(ones, ones.bool(), gramian=jacobian @ jacobian.T)
        z.backward((balancer.decide(state, statistics).weights @ jacobian).view_as(z))
        optimizer.step()

    return take


def _gradnorm_by_hand(workload: Workload) -> Variant:
    model, losses, optimizer = _parts(workload)
    batch, (layer,) = workload.batch(), model.last_shared_layers
    targets = list(batch.targets.values())
    weights = torch.ones(len(targets), requires_grad=True)
    learner, first = torch.optim.Adam([weights], lr=0.025), torch.full((len(targets),), torch.nan)

    def take() -> None:
        optimizer.zero_grad()
        found = torch.stack(_losses(workload, model, model.shared(batch.inputs), losses, targets))
        first.copy_(found.detach().where(first.isnan(), first))
        passes = [torch.autograd.grad(task_loss, [layer.weight], retain_graph=True)[0] for task_loss in found]
        norms = weights * torch.stack([gradient.norm() for gradient in passes])
        ratios = found.detach() / first
        target = norms.detach().mean() * (ratios / ratios.mean()) ** 1.5
        (weights.detach() * found).sum().backward()
        (weights.grad,) = torch.autograd.grad((norms - target).abs().sum(), [weights])
        learner.step()
        optimizer.step()
        with torch.no_grad():
            weights.clamp_(min=1e-4).mul_(len(targets) / weights.sum())

    return take


Times = dict[str, list[float]]
"""By variant, the median seconds of a step in each turn."""


def measure(found: dict[str, Variant], rounds: int, block: int, clock: Callable[[], float]) -> Times:
    """Let the variants take turns, ``block`` steps each."""
    times: Times = {name: [] for name in found}
    for number in range(rounds + 1):
        for name, take in found.items():
            for _ in range(block // 4):
                take()
            own = []
            for _ in range(block):
                started = clock()
                take()
                own.append(clock() - started)
            if number > 0:
                times[name].append(statistics.median(own))
    return times


def compare(name: str, threads: int, arguments: argparse.Namespace) -> list[dict[str, object]]:
    """Time all variants of a workload, print the ratios, and return a row for each bound."""
    torch.set_num_threads(threads)
    clock = time.thread_time if threads == 1 else time.perf_counter
    extra = arguments.balancers
    if extra == ["all"]:
        extra = [method for method in components("balancer") if method not in ("uniform", "torchjd")]
    times = measure(variants(name, extra), arguments.rounds, arguments.block, clock)
    print(f"\n{name}, {threads} thread(s)")
    for variant, seconds in times.items():
        median, of_uniform = statistics.median(seconds) * 1e6, ratio(times, variant, "uniform")
        print(f"  {variant:16} {median:9.0f} µs {of_uniform:6.2f} of uniform")
    rows: list[dict[str, object]] = []
    for (variant, other), most in BOUNDS.items():
        if name in most and variant in times:
            found = ratio(times, variant, other)
            verdict = "holds" if found <= most[name] else "FAILS"
            print(f"  {variant} / {other}: {found:.2f}, bound {most[name]:.2f} {verdict}", flush=True)
            rows.append(
                {"workload": name, "threads": threads, "variant": variant, "of": other, "ratio": found,
                 "bound": most[name], "verdict": verdict}
            )  # fmt: skip
    return rows


def ratio(times: Times, variant: str, other: str) -> float:
    """Return the median over the turns of the ratio of two variants' times."""
    return statistics.median(a / b for a, b in zip(times[variant], times[other], strict=True))


def main() -> None:
    """Time all variants, print and write the ratios, and say which bounds fail."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, nargs="*", default=[1])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--block", type=int, default=12, help="steps of a variant before the next takes its turn")
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--balancers", nargs="*", default=["gradnorm"], help="further methods, or 'all'")
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
    failed = [f"{row['variant']} / {row['of']} on {row['workload']}" for row in rows if row["verdict"] == "FAILS"]
    print(f"\nfailed: {', '.join(failed) or 'none'}")


if __name__ == "__main__":
    main()
