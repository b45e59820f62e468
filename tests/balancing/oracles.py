"""Methods that remember, written from their papers in scalars: nothing here is shared with the package.

Each oracle takes the steps of a run and returns what the method makes of each: its weights, or its direction. Tasks
that are absent in a step keep all that is remembered of them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Step:
    """A step, as a method sees it, of T tasks: losses of 0 and rows of 0 where a task is absent."""

    losses: list[float]
    present: list[bool]
    jacobian: Array
    draws: Array  # (T, T), uniform
    epoch: int
    after: list[float]  # the same batch's losses after the optimizer's step

    @property
    def here(self) -> list[int]:
        return [t for t, present in enumerate(self.present) if present]

    @property
    def norms(self) -> list[float]:
        return [math.sqrt(sum(x * x for x in row)) for row in self.jacobian]


Steps = Sequence[Step]


class Adam:
    """Kingma & Ba 2015, algorithm 1, of one number."""

    def __init__(self, value: float, lr: float) -> None:
        self.value, self.lr = value, lr
        self.m = self.v = 0.0
        self.t = 0

    def descend(self, slope: float) -> None:
        self.t += 1
        self.m = 0.9 * self.m + 0.1 * slope
        self.v = 0.999 * self.v + 0.001 * slope**2
        m_hat, v_hat = self.m / (1 - 0.9**self.t), self.v / (1 - 0.999**self.t)
        self.value -= self.lr * m_hat / (math.sqrt(v_hat) + 1e-8)


def gradnorm(steps: Steps, alpha: float, lr: float) -> list[list[float]]:
    """Chen et al. 2018, algorithm 1; the weights of the tasks present keep their sum."""
    tasks = len(steps[0].losses)
    weights = [Adam(1.0, lr) for _ in range(tasks)]
    first: dict[int, float] = {}
    told = []
    for step in steps:
        used = [weight.value for weight in weights]
        told.append(used)
        for t in step.here:
            first.setdefault(t, step.losses[t])
        ratios = {t: step.losses[t] / first[t] for t in step.here}
        mean_ratio = sum(ratios.values()) / len(ratios)
        norms = {t: used[t] * step.norms[t] for t in step.here}
        mean_norm = sum(norms.values()) / len(norms)
        for t in step.here:
            target = mean_norm * (ratios[t] / mean_ratio) ** alpha
            sign = (norms[t] > target) - (norms[t] < target)
            weights[t].descend(sign * step.norms[t])  # d/dw |w n − target|
        raw = {t: max(weights[t].value, 1e-4) for t in step.here}
        for t in step.here:
            weights[t].value = raw[t] * sum(used[s] for s in step.here) / sum(raw.values())
    return told


def uw(steps: Steps, lr: float) -> list[list[float]]:
    """Kendall et al. 2018, equation 7, in s = log σ²: L / (2 exp s) + s / 2."""
    numbers = [Adam(0.0, lr) for _ in steps[0].losses]
    told = []
    for step in steps:
        told.append([1 / (2 * math.exp(s.value)) for s in numbers])
        for t in step.here:
            numbers[t].descend(-step.losses[t] / (2 * math.exp(numbers[t].value)) + 0.5)
    return told


def imtl_l(steps: Steps, lr: float) -> list[list[float]]:
    """Liu et al. 2021, the loss balance: exp(s) L − s."""
    numbers = [Adam(0.0, lr) for _ in steps[0].losses]
    told = []
    for step in steps:
        told.append([math.exp(s.value) for s in numbers])
        for t in step.here:
            numbers[t].descend(math.exp(numbers[t].value) * step.losses[t] - 1)
    return told


def imtl(steps: Steps, lr: float) -> list[list[float]]:
    """Liu et al. 2021, the hybrid: α of algorithm 1 for the gradients exp(s_t) g_t, times exp(s_t)."""
    scales = imtl_l(steps, lr)
    before = [1.0] * len(steps[0].losses)
    told = []
    for step, own in zip(steps, scales, strict=True):
        weights = list(before)
        rows = np.array([own[t] * step.jacobian[t] for t in step.here])
        units = np.array([row / math.sqrt(row @ row) for row in rows])
        alphas = np.ones(1)
        if len(rows) > 1:  # α_2… = g_1 Uᵀ (D Uᵀ)⁻¹, with D = g_1 − g_t and U = u_1 − u_t as rows
            gaps, turns = rows[0] - rows[1:], units[0] - units[1:]
            rest = rows[0] @ turns.T @ np.linalg.inv(gaps @ turns.T)
            alphas = np.array([1 - rest.sum(), *rest])
        for t, alpha in zip(step.here, alphas, strict=True):
            weights[t] = own[t] * alpha
        told.append(weights)
        before = weights
    return told


def famo(steps: Steps, lr: float, gamma: float) -> list[list[float]]:
    """Liu et al. 2023, algorithm 1, with Adam as in appendix C; 1e-8 is added to the losses as in the authors' code."""
    tasks = len(steps[0].losses)
    logits = [Adam(0.0, lr) for _ in range(tasks)]
    weights = [1 / tasks] * tasks
    told = []
    for step in steps:
        total = sum(math.exp(logits[t].value) for t in step.here)
        z = {t: math.exp(logits[t].value) / total for t in step.here}
        c = 1 / sum(z[t] / (step.losses[t] + 1e-8) for t in step.here)
        weights = [c * z[t] / (step.losses[t] + 1e-8) if t in z else weights[t] for t in range(tasks)]
        told.append(weights)
        fell = {t: math.log(step.losses[t] + 1e-8) - math.log(step.after[t] + 1e-8) for t in step.here}
        for t in step.here:  # (∂z/∂ξ_t)ᵀ δ, ∂z_s/∂ξ_t = z_s ([s = t] − z_t)
            slope = sum(z[s] * ((s == t) - z[t]) * fell[s] for s in step.here)
            logits[t].descend(slope + gamma * logits[t].value)
    return told


def dwa(steps: Steps, temperature: float) -> list[list[float]]:
    """Liu et al. 2019, equation 7: softmax of the ratio of the last two epochs' mean losses."""
    tasks = len(steps[0].losses)
    told = []
    for step in steps:
        ratios = []
        for t in range(tasks):
            means = []
            for epoch in range(1, step.epoch):
                own = [s.losses[t] for s in steps if s.epoch == epoch and s.present[t]]
                if own:
                    means.append(sum(own) / len(own))
            ratios.append(means[-1] / means[-2] if len(means) > 1 else 1.0)
        powers = [math.exp(ratio / temperature) for ratio in ratios]
        told.append([tasks * power / sum(powers) for power in powers])
    return told


def stch(steps: Steps, mu: float, last_warmup_epoch: int) -> list[list[float]]:
    """Lin et al. 2024, as in the authors' multi-task code, whose epochs count from 0."""
    tasks = len(steps[0].losses)
    weights = [1.0] * tasks
    told = []
    level: dict[int, list[float]] = {t: [] for t in range(tasks)}
    for step in steps:
        epoch = step.epoch - 1
        weights = list(weights)
        if epoch <= last_warmup_epoch:  # Σ log L
            for t in step.here:
                weights[t] = 1 / step.losses[t]
                if epoch == last_warmup_epoch:
                    level[t].append(step.losses[t])
        else:  # T μ log Σ exp(log(L / z) / μ)
            powers = {t: (step.losses[t] * len(level[t]) / sum(level[t])) ** (1 / mu) for t in step.here}
            for t in step.here:
                weights[t] = len(step.here) * powers[t] / sum(powers.values()) / step.losses[t]
        told.append(weights)
    return told


def excess_mtl(steps: Steps, step_size: float, warmup_epochs: int) -> list[list[float]]:
    """He et al. 2024, equations 6, 7 and 9; tasks present share the weight that they had."""
    tasks, width = steps[0].jacobian.shape
    weights = [1 / tasks] * tasks
    squares = [[0.0] * width for _ in range(tasks)]
    levels: dict[int, list[float]] = {t: [] for t in range(tasks)}
    told = []
    for step in steps:
        excess = {}
        for t in step.here:
            for p, g in enumerate(step.jacobian[t]):
                squares[t][p] += g * g
            excess[t] = sum(g * g / math.sqrt(h + 1e-7) for g, h in zip(step.jacobian[t], squares[t], strict=True))
            if step.epoch <= warmup_epochs or not levels[t]:
                levels[t].append(excess[t])
        weights = list(weights)
        if step.epoch > warmup_epochs:
            shared = sum(weights[t] for t in step.here)
            raw = {
                t: weights[t] * math.exp(step_size * excess[t] / (sum(levels[t]) / len(levels[t]) + 1e-7))
                for t in step.here
            }
            for t in step.here:
                weights[t] = shared * raw[t] / sum(raw.values())
        told.append(weights)
    return told


def db_mtl(steps: Steps, beta: float, sigma: float) -> list[list[float]]:
    """Lin et al. 2023, algorithm 1: the direction of each step."""
    tasks, width = steps[0].jacobian.shape
    means = [[0.0] * width for _ in range(tasks)]
    told = []
    for k, step in enumerate(steps, 1):
        decay = beta / k**sigma
        for t in step.here:
            for p in range(width):
                of_log = step.jacobian[t][p] / (step.losses[t] + 1e-8)
                means[t][p] = decay * means[t][p] + (1 - decay) * of_log
        lengths = {t: math.sqrt(sum(m * m for m in means[t])) for t in step.here}
        longest = max(lengths.values())
        told.append([sum(longest / (lengths[t] + 1e-8) * means[t][p] for t in step.here) for p in range(width)])
    return told


def gradvac(steps: Steps, beta: float) -> list[list[float]]:
    """Wang et al. 2021, algorithm 1, on the gradients themselves: the direction of each step."""
    tasks = len(steps[0].losses)
    usual = [[0.0] * tasks for _ in range(tasks)]
    told = []
    for step in steps:
        total = np.zeros(step.jacobian.shape[1])
        for i in step.here:
            turned = step.jacobian[i].copy()
            for j in sorted(step.here, key=lambda s: step.draws[i][s]):
                if i == j:
                    continue
                other = step.jacobian[j]
                length, others_length = math.sqrt(turned @ turned), math.sqrt(other @ other)
                phi, target = float(turned @ other) / (length * others_length), usual[i][j]
                if phi < target:
                    sine, target_sine = math.sqrt(1 - phi**2), math.sqrt(1 - target**2)
                    turned += length * (target * sine - phi * target_sine) / (others_length * target_sine) * other
                usual[i][j] = (1 - beta) * target + beta * phi
            total += turned
        told.append(total.tolist())
    return told


def pcd(steps: Steps, tau: float, beta: float, epsilon: float) -> list[list[float]]:
    """Varam & AlHajri 2026, algorithm 1, by enumerating the active constraints: the direction of each step.

    The first task is the primary one; where it is absent, the first of those present.
    """
    tasks = len(steps[0].losses)
    squares, counts = [0.0] * tasks, [0] * tasks
    told = []
    for step in steps:
        normed = {}
        for t in step.here:
            counts[t] += 1
            squares[t] = beta * squares[t] + (1 - beta) * step.norms[t] ** 2
            normed[t] = step.jacobian[t] / math.sqrt(squares[t] / (1 - beta ** counts[t]) + epsilon)
        primary, *others = step.here
        best = None
        for active in itertools.chain(*(itertools.combinations(others, n) for n in range(len(others) + 1))):
            rows = [normed[t] for t in active]
            short = np.array([tau * float(row @ row) - float(row @ normed[primary]) for row in rows])
            found = normed[primary].copy()
            if active:
                multipliers = np.linalg.solve(np.array([[float(a @ b) for a in rows] for b in rows]), short)
                if (multipliers < 0).any():
                    continue
                found += sum(m * row for m, row in zip(multipliers, rows, strict=True))
            if all(found @ normed[t] >= tau * (normed[t] @ normed[t]) - 1e-12 for t in others):
                best = found
                break
        assert best is not None
        told.append((best * step.norms[primary] / math.sqrt(best @ best)).tolist())
    return told
