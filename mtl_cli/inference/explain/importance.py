"""Permutation importance: how much of a task's skill is lost when a feature's values are shuffled among the rows.

Breiman 2001 (doi 10.1023/A:1010933404324), for any model by Fisher, Rudin & Dominici 2019 (JMLR 20:177). Inputs that
make up one column are shuffled together, and so are columns that are correlated, beside each of them alone: what one of
them knows, the model may read from the other, so that alone each may seem of no use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mtl_cli.data.base import Notice
from mtl_cli.data.feature import Feature
from mtl_cli.inference.explain.correlated import clusters
from mtl_cli.inference.explain.rows import Explained, Losses

REPEATS, FEW_REPEATS, MANY = 10, 3, 200
"""How often values are shuffled; and how often of more features than ``MANY``."""
DRAWS = 400
"""Of the bootstrap."""


@dataclass(frozen=True)
class Importance:
    """How much one task needs one feature.

    Parameters
    ----------
    task : str
    feature : Feature
        Or several that are correlated, as one.
    members : tuple of str
        Those, if there are several.
    lost : float
        Skill lost: (loss of shuffled rows − loss) / loss of the best constant, the mean over repeats.
    low, high : float
        Ends of its 95 % interval by the bootstrap over rows.
    deviation : float
        Over the repeats.
    """

    task: str
    feature: Feature
    members: tuple[str, ...]
    lost: float
    low: float
    high: float
    deviation: float


def orders(rows: int, repeats: int, seed: int) -> list[np.ndarray]:
    """Return the orders that rows are shuffled into, the same for all features: they differ by less noise then."""
    random = np.random.default_rng(seed)
    return [random.permutation(rows) for _ in range(repeats)]


def importance(
    rows: Explained,
    notice: Notice,
    repeats: int | None = None,
    correlated: float = 0.8,
    seed: int = 0,
    shuffles: Sequence[np.ndarray] | None = None,
) -> list[Importance]:
    """Return the importance of each feature, and of each group of correlated ones, for each task; the largest first.

    Parameters
    ----------
    rows : Explained
    notice : callable
    repeats : int, optional
        By default ``REPEATS``, or fewer of very many features.
    correlated : float
        From which rank correlation on features are shuffled together too.
    seed : int
    shuffles : sequence of ndarray, optional
        In place of ``orders``.
    """
    features = rows.features()
    joined = [] if correlated >= 1 else clusters(rows, features, correlated, notice)
    units: list[tuple[Feature, tuple[str, ...]]] = [(feature, ()) for feature in features] + joined
    times = repeats or (FEW_REPEATS if len(units) > MANY else REPEATS)
    if len(units) > MANY:
        notice(f"{len(units):,} features are shuffled {times} times each; --repeats sets how often")
    shuffles = shuffles or orders(len(rows.part), times, seed)
    base = rows.outputs(rows.inputs)
    whole = {name: rows.losses(name, base[name]) for name in rows.tasks}
    random = np.random.default_rng(seed)
    draws = {name: _draws(random, losses) for name, losses in whole.items()}
    found = []
    for feature, members in units:
        known = [name for name in rows.tasks_of(feature) if len(whole[name].rows)]
        each = _shuffled(rows, feature, known, whole, shuffles) if known else {}
        found += [_summary(name, feature, members, each[name], whole[name], draws[name]) for name in known]
    names = list(rows.tasks)
    return sorted(found, key=lambda one: (names.index(one.task), -one.lost))


def _shuffled(
    rows: Explained,
    feature: Feature,
    names: Sequence[str],
    whole: dict[str, Losses],
    shuffles: Sequence[np.ndarray],
) -> dict[str, np.ndarray]:
    """Return by task how much each row's loss grows, (repeats, rows)."""
    more: dict[str, list[np.ndarray]] = {name: [] for name in names}
    of = rows.of(feature)
    for order in shuffles:
        outputs = rows.outputs(rows.inputs.shuffled(feature.inputs, order, of))
        for name in names:
            losses = rows.losses(name, outputs[name], whole[name].rows)
            more[name].append(losses.model - whole[name].model)
    return {name: np.stack(each) for name, each in more.items()}


def _draws(random: np.random.Generator, losses: Losses) -> np.ndarray:
    """Return how often each resample of the bootstrap holds each row, times its labels, (draws, rows)."""
    count = len(losses.rows)
    if not count:
        return np.zeros((0, 0))
    return np.asarray(random.multinomial(count, np.full(count, 1 / count), DRAWS) * losses.counts)


def _summary(
    name: str, feature: Feature, members: tuple[str, ...], more: np.ndarray, losses: Losses, draws: np.ndarray
) -> Importance:
    scale = losses.counts @ losses.constant
    each = more @ losses.counts / scale
    resampled = draws @ more.mean(0) / np.maximum(draws @ losses.constant, np.finfo(float).tiny)
    low, high = np.quantile(resampled, [0.025, 0.975])
    deviation = float(each.std(ddof=1)) if len(each) > 1 else float("nan")
    return Importance(name, feature, members, float(each.mean()), float(low), float(high), deviation)
