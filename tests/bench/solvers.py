"""Times the weights of Gramian methods for K tasks against TorchJD's: `python -m tests.bench.solvers`.

Ratios of medians in one process on one thread, over the same Gramians, in turn by blocks of 20 calls. TorchJD's
CAGrad, Nash-MTL, FairGrad, UPGrad and DualProj need `pip install 'torchjd[full]'`; without it their column stays empty.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterable

import torch

from mtl_cli.balancing.base import StepStatistics
from mtl_cli.config.registry import components

BLOCK = 20

ROWS: dict[str, tuple[dict[str, float], str, dict[str, float]]] = {
    "cagrad": ({"c": 0.5}, "CAGradWeighting", {"c": 0.5}),
    "nash_mtl": (
        {},
        "_NashMTLWeighting",
        {"max_norm": 0.0},
    ),
    "fairgrad": ({"alpha": 2.0}, "FairGradWeighting", {"alpha": 2.0}),
    "mgda": ({}, "MGDAWeighting", {}),
    "upgrad": ({}, "UPGradWeighting", {}),
    "dualproj": ({}, "DualProjWeighting", {}),
    "imtl_g": ({}, "IMTLGWeighting", {}),
    "aligned_mtl": ({}, "AlignedMTLWeighting", {}),
    "pcgrad": ({}, "PCGradWeighting", {}),
    "gradvac": ({}, "GradVacWeighting", {}),
    "pcd": ({}, "PCDWeighting", {}),
}


def jacobians(tasks: int, count: int) -> list[torch.Tensor]:
    """Return random gradients with conflicts: 100 coordinates, some of the noise shared with either sign."""
    generator = torch.Generator().manual_seed(0)
    common = torch.randn(count, 1, 100, generator=generator)
    share = torch.randn(count, tasks, 1, generator=generator)
    return list(torch.randn(count, tasks, 100, generator=generator) + share * common)


def ours(name: str, settings: dict[str, float], tasks: int) -> Callable[[torch.Tensor], object]:
    """Return the whole call that a step makes, from the float32 Gramian to the float32 weights."""
    balancer = components("balancer")[name](**settings)
    state = balancer.init_state([str(task) for task in range(tasks)], torch.device("cpu"))
    losses, present, generator = (
        torch.ones(tasks),
        torch.ones(tasks, dtype=torch.bool),
        torch.Generator().manual_seed(0),
    )

    def decide(gramian: torch.Tensor) -> object:
        draws = balancer.draw(tasks, 0, gramian.device, generator)
        return balancer.decide(state, StepStatistics(losses, present, gramian=gramian, draws=draws))

    return decide


def theirs(name: str, settings: dict[str, float], tasks: int) -> Callable[[torch.Tensor], object] | None:
    """Return TorchJD's weighting, or None if what it needs is not installed."""
    import torchjd.aggregation

    try:
        if name == "_NashMTLWeighting":  # takes the gradients themselves
            aggregator = torchjd.aggregation.NashMTL(tasks, **settings)
            return lambda jacobian: aggregator.weighting(jacobian)
        weighting = getattr(torchjd.aggregation, name)(**settings)
        weighting(torch.eye(tasks))
    except (ImportError, NameError):
        return None
    return lambda gramian: weighting(gramian)


def main(arguments: Iterable[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.solvers", description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=int, default=8)
    parser.add_argument("--calls", type=int, default=200)
    options = parser.parse_args(None if arguments is None else list(arguments))
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found = jacobians(options.tasks, options.calls)
    gramians = [jacobian @ jacobian.T for jacobian in found]
    print(f"K = {options.tasks}, medians over {options.calls} calls in microseconds, one thread")
    print(f"{'method':<12}{'mtl':>10}{'95 %':>10}{'TorchJD':>12}{'ratio':>8}")
    for name, (settings, other_name, other_settings) in ROWS.items():
        mine, other = ours(name, settings, options.tasks), theirs(other_name, other_settings, options.tasks)
        taken: tuple[list[float], list[float]] = ([], [])
        theirs_see = found if other_name == "_NashMTLWeighting" else gramians
        for first in range(0, options.calls, BLOCK):
            for call, seen, times in zip((mine, other), (gramians, theirs_see), taken, strict=True):
                for matrix in seen[first : first + BLOCK] if call is not None else []:
                    began = time.perf_counter()
                    call(matrix)
                    times.append(1e6 * (time.perf_counter() - began))
        median, high = statistics.median(taken[0]), sorted(taken[0])[int(0.95 * len(taken[0]))]
        rest = f"{'not installed':>20}"
        if taken[1]:
            theirs_median = statistics.median(taken[1])
            rest = f"{theirs_median:>12.0f}{median / theirs_median:>8.2f}"
        print(f"{name:<12}{median:>10.0f}{high:>10.0f}{rest}", flush=True)


if __name__ == "__main__":
    main()
