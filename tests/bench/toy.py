"""The two-task toy problem of Liu et al. (NeurIPS 2021, arXiv 2110.14048, appendix), for every balancing method.

`python -m tests.bench.toy` draws the way of each method from five starts in one PNG and prints where it ended. The
objectives are those of the paper; starts, number of steps and the factor 0.1 of the first objective are those of the
code of Navon et al. (2022): so that only a method that balances gets from (9, 9) to the Pareto front.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import torch

from mtl_cli.balancing.base import Balancer, StepStatistics
from mtl_cli.config.registry import components

LOWER = 5e-6  # of the argument of a logarithm
STARTS = ((-8.5, 7.5), (0.0, 0.0), (9.0, 9.0), (-7.5, -0.5), (9.0, -1.0))
STEPS = 35_000
FRONT_HEIGHT = -8.3552  # the Pareto set is x₂ = this, −7 ≤ x₁ ≤ 7
OFFSET = 21.0  # makes both objectives positive, for methods that need that
LEARNING_RATE, BETA1, BETA2, EPSILON = 1e-3, 0.9, 0.999, 1e-8
STEPS_PER_EPOCH = 250
SETTINGS = {"famo": {"gamma": 0.0}}  # as the authors have it for this problem

Point = tuple[float, float]


class Values(NamedTuple):
    """Two objectives and their gradients at a point."""

    losses: tuple[float, float]
    gradients: tuple[Point, Point]


def evaluate(x1: float, x2: float, scale: float) -> Values:
    """Return the objectives, the first multiplied by ``scale``, and their gradients."""
    bent, half = math.tanh(x2), math.tanh(x2 / 2)
    slope, half_slope = 1 - bent * bent, 0.5 * (1 - half * half)
    a, b = 0.5 * (-x1 - 7) + bent, 0.5 * (-x1 + 3) - bent + 2
    f1, f2 = (math.log(max(abs(value), LOWER)) + 6 for value in (a, b))
    da, db = ((1 / value if abs(value) > LOWER else 0.0) for value in (a, b))
    low = 0.1 * (x2 + 8) ** 2
    q1, q2 = ((x1 - 7) ** 2 + low) / 10 - 20, ((x1 + 7) ** 2 + low) / 10 - 20
    c1, c2 = max(half, 0.0), max(-half, 0.0)
    d1, d2 = (half_slope if half >= 0 else 0.0), (-half_slope if half <= 0 else 0.0)  # as torch.clamp at its bound
    first = (
        c1 * -0.5 * da + c2 * 0.2 * (x1 - 7),
        c1 * slope * da + f1 * d1 + c2 * 0.02 * (x2 + 8) + q1 * d2,
    )
    second = (
        c1 * -0.5 * db + c2 * 0.2 * (x1 + 7),
        c1 * -slope * db + f2 * d1 + c2 * 0.02 * (x2 + 8) + q2 * d2,
    )
    losses = (scale * (f1 * c1 + q1 * c2), f2 * c1 + q2 * c2)
    return Values(losses, ((scale * first[0], scale * first[1]), second))


def descend(balancer: Balancer, start: Point, steps: int, scale: float = 0.1, keep_every: int = 100) -> list[Point]:
    """Descend by Adam as a balancer weighs the two gradients.

    Returns
    -------
    list of pairs
        The point every ``keep_every`` steps, and the last one.
    """
    cpu = torch.device("cpu")
    generator = torch.Generator().manual_seed(0)
    state = balancer.init_state(["first", "second"], cpu)
    offset, present = torch.tensor([OFFSET * scale, OFFSET]), torch.ones(2, dtype=torch.bool)
    x, mean, square = list(start), [0.0, 0.0], [0.0, 0.0]
    way: list[Point] = []
    for step in range(steps):
        if step % keep_every == 0:
            way.append((x[0], x[1]))
        losses, (first, second) = evaluate(x[0], x[1], scale)
        jacobian = torch.tensor([first, second])
        statistics = StepStatistics(
            torch.tensor(losses) + offset,
            present,
            norms=jacobian.norm(dim=1) if balancer.needs == "norms" else None,
            gramian=jacobian @ jacobian.T if balancer.needs == "gramian" else None,
            jacobian=jacobian if balancer.needs == "jacobian" else None,
            epoch=1 + step // STEPS_PER_EPOCH,
            step=step,
            draws=balancer.draw(2, 2, cpu, generator),
        )
        decision = balancer.decide(state, statistics)
        state = decision.state
        if decision.direction is not None:
            gradient = decision.direction.tolist()
        else:
            w1, w2 = decision.weights.tolist()
            gradient = [w1 * first[0] + w2 * second[0], w1 * first[1] + w2 * second[1]]
        for i in range(2):
            mean[i] += (1 - BETA1) * (gradient[i] - mean[i])
            square[i] += (1 - BETA2) * (gradient[i] ** 2 - square[i])
            corrected = math.sqrt(square[i] / (1 - BETA2 ** (step + 1))) + EPSILON
            x[i] -= LEARNING_RATE * mean[i] / (1 - BETA1 ** (step + 1)) / corrected
        if balancer.looks_ahead:
            state = balancer.after(state, torch.tensor(evaluate(x[0], x[1], scale).losses) + offset)
    return [*way, (x[0], x[1])]


def method(name: str) -> Balancer:
    """Return a balancing method with the settings of this problem."""
    built: Balancer = components("balancer")[name](**SETTINGS.get(name, {}))
    return built


def reached(point: Point) -> bool:
    """Say whether a point lies on the Pareto front, up to what Adam's last steps leave."""
    return abs(point[1] - FRONT_HEIGHT) < 0.15 and -7.1 <= point[0] <= 7.1


def draw(ways: dict[str, list[list[Point]]], file: Path, scale: float) -> None:
    """Draw the ways of all methods over the mean objective, a panel each."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = 7
    rows = -(-len(ways) // columns)
    figure = Figure(figsize=(2.4 * columns, 2.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    across, up = np.linspace(-10.5, 10.5, 120), np.linspace(-10, 10, 120)
    heights = [[sum(evaluate(a, b, 1.0).losses) / 2 for a in across] for b in up]
    for place, (name, paths) in enumerate(ways.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        axes.contour(across, up, heights, 16, cmap="viridis", linewidths=0.5)
        axes.plot([-7, 7], [FRONT_HEIGHT] * 2, color="0.6", linewidth=4, zorder=1)
        for path in paths:
            axes.plot(*zip(*path, strict=True), linewidth=1.2)
            axes.plot(*path[0], "k.", markersize=4)
            axes.plot(*path[-1], "k*" if reached(path[-1]) else "kx", markersize=7)
        axes.set_title(name, fontsize=9)
        axes.set_xticks([])
        axes.set_yticks([])
    figure.suptitle(f"from •: ★ on the Pareto front (grey), × not; first objective times {scale:g}", fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=130)


def _all_starts(name: str, steps: int, scale: float) -> tuple[list[list[Point]], float]:
    torch.set_num_threads(1)
    began = time.perf_counter()
    balancer = method(name)
    return [descend(balancer, start, steps, scale) for start in STARTS], time.perf_counter() - began


def main(arguments: Iterable[str] | None = None) -> None:
    """Run every method, print where it ended, draw its way."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.toy", description=__doc__.split("\n")[0])
    parser.add_argument("methods", nargs="*", help="by default all")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--scale", type=float, default=0.1, help="of the first objective")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--output", type=Path, default=Path("outputs/toy.png"))
    options = parser.parse_args(None if arguments is None else list(arguments))
    names = options.methods or [name for name in components("balancer") if name not in ("static", "torchjd")]
    print(f"{'method':<14}" + "".join(f"{f'from ({a:g}, {b:g})':>22}" for a, b in STARTS) + "   seconds")
    ways = {}
    with ProcessPoolExecutor(options.jobs) as pool:
        found = pool.map(_all_starts, names, [options.steps] * len(names), [options.scale] * len(names))
        for name, (paths, seconds) in zip(names, found, strict=True):
            ways[name] = paths
            ends = "".join(
                f"{f'({a:.2f}, {b:.2f}) ' + ('front' if reached((a, b)) else '-'):>22}"
                for a, b in (p[-1] for p in paths)
            )
            print(f"{name:<14}{ends}   {seconds:.0f}", flush=True)
    draw(ways, options.output, options.scale)
    print(options.output)


if __name__ == "__main__":
    main()
