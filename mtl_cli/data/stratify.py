"""Stratification: labels of several tasks, of any kind, spread evenly over parts of given sizes.

The parts of a split and the folds of a cross-validation are both made here. Rows with the same labels in all tasks are
dealt out in proportion first. What is left over goes the way of iterative stratification (Sechidis, Tsoumakas, Vlahavas
2011, ECML PKDD, doi 10.1007/978-3-642-23808-6_10, algorithm 1): the label with the fewest rows left is dealt out first.
A row goes to the part k where it makes Σ_kl (wanted_kl − had_kl)² / wanted_kl least, over all its labels l; the paper
looks at the rarest label alone, which left the others three times as uneven here. What is dealt out is a row or, with
groups, a unit of rows that stay together.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = 5
"""Bins of equally many rows that measurements are cut into."""


class Strata(NamedTuple):
    """The labels of n rows as indicators: entry j says that row ``rows[j]`` carries label ``labels[j]``, by rows.

    Parameters
    ----------
    rows, labels : ndarray of int
    names : list of str
        Of each label: "task: class".
    """

    rows: np.ndarray
    labels: np.ndarray
    names: list[str]

    @property
    def counts(self) -> np.ndarray:
        """Return the rows that carry each label."""
        return np.bincount(self.labels, minlength=len(self.names))


def binned(values: pd.Series) -> pd.Series:
    """Return labels as classes, missing where they are: measurements by fifths of their ranks, others as text."""
    import pandas as pd

    if pd.api.types.is_float_dtype(values.dtype):
        values = pd.qcut(values.rank(method="first"), QUANTILES, labels=False)
    return values.map(str, na_action="ignore")


def strata(columns: Mapping[str, pd.Series]) -> Strata:
    """Return the labels of the tasks ``columns``; a missing label, and an empty set of labels, are labels too.

    Parameters
    ----------
    columns : mapping of str to Series
        By task; floats are measurements, frozensets several labels at once, all else classes.
    """
    import pandas as pd

    rows, labels = [], []
    names: list[str] = []
    for task, values in columns.items():
        present = values.dropna()
        if len(present) and isinstance(present.iloc[0], frozenset):
            entries = values.map(lambda s: sorted(map(str, s)) or ["(none)"], na_action="ignore")
            column = entries.reset_index(drop=True).explode()
        else:
            column = binned(values).reset_index(drop=True)
        codes, found = pd.factorize(column.astype(object).fillna("(missing)"), sort=True)
        rows.append(column.index.to_numpy())
        labels.append(codes + len(names))
        names += [f"{task}: {label}" for label in found]
    order = np.argsort(np.concatenate(rows), kind="stable")
    return Strata(np.concatenate(rows)[order], np.concatenate(labels)[order], names)


def deal(found: Strata, sizes: list[int], seed: int, unit: np.ndarray | None = None) -> np.ndarray:
    """Return the part of each row, 0 to len(sizes) − 1, so that each label's rows go to the parts in proportion.

    Parameters
    ----------
    found : Strata
    sizes : list of int
        Rows of each part, together all of them. With units they are reached as nearly as whole units allow.
    seed : int
    unit : ndarray of int, shape (n,), optional
        Rows with the same number stay together.
    """
    rows = sum(sizes)
    random = np.random.default_rng(seed)
    unit = np.arange(rows) if unit is None else np.unique(unit, return_inverse=True)[1]
    weights = np.bincount(unit)
    keys, counts = np.unique(unit[found.rows] * len(found.names) + found.labels, return_counts=True)
    owners, labels = np.divmod(keys, len(found.names))
    starts = np.searchsorted(owners, np.arange(len(weights) + 1))
    table = _Table(labels, counts, starts, weights)
    if 0 in sizes:  # such a part wants nothing
        kept = [k for k, size in enumerate(sizes) if size]
        return np.asarray(np.array(kept)[deal(found, [sizes[k] for k in kept], seed, unit)])
    share = np.array(sizes) / rows
    wanted = np.outer(share, found.counts)
    lack = wanted.copy()
    room = np.array(sizes, dtype=float)
    part = np.full(len(weights), -1)
    _in_proportion(table, share, part, room, lack, random)
    _iteratively(table, part, room, wanted, lack, random)
    return part[unit]


class _Table(NamedTuple):
    """Units: those of number i carry ``labels[starts[i]:starts[i + 1]]``, each in ``counts`` rows of ``weights[i]``."""

    labels: np.ndarray
    counts: np.ndarray
    starts: np.ndarray
    weights: np.ndarray

    def of(self, i: int) -> slice:
        return slice(self.starts[i], self.starts[i + 1])


def _in_proportion(
    table: _Table,
    share: np.ndarray,
    part: np.ndarray,
    room: np.ndarray,
    lack: np.ndarray,
    random: np.random.Generator,
) -> None:
    """Give of every m units that are alike ⌊m · share⌋ to each part: what no order of dealing could do better."""
    alike: dict[bytes, list[int]] = {}
    for i in range(len(part)):
        here = table.of(i)
        alike.setdefault(table.labels[here].tobytes() + b"/" + table.counts[here].tobytes(), []).append(i)
    for units in alike.values():
        whole = np.floor(len(units) * share + 1e-9).astype(int)
        if not whole.any():
            continue
        chosen = random.permutation(units)[: whole.sum()]
        part[chosen] = np.repeat(np.arange(len(share)), whole)
        here = table.of(units[0])
        room -= whole * table.weights[units[0]]
        lack[:, table.labels[here]] -= np.outer(whole, table.counts[here])


def _iteratively(
    table: _Table, part: np.ndarray, room: np.ndarray, wanted: np.ndarray, lack: np.ndarray, random: np.random.Generator
) -> None:
    """Deal out the units that are left, the rarest label first, larger units before smaller ones."""
    left = np.flatnonzero(part < 0)
    left = random.permutation(left)
    left = left[np.argsort(-table.weights[left], kind="stable")]
    carriers: dict[int, list[int]] = {}
    for i in left.tolist():
        for label in table.labels[table.of(i)].tolist():
            carriers.setdefault(label, []).append(i)
    remaining = {label: len(units) for label, units in carriers.items()}
    while remaining:
        rarest = min(remaining, key=lambda label: (remaining[label], label))
        for i in carriers[rarest]:
            if part[i] >= 0:
                continue
            open_parts = np.flatnonzero(room >= 0.5) if (room >= 0.5).any() else np.arange(len(room))
            here = table.of(i)
            mine = table.labels[here]
            gain = table.counts[here] * (2 * lack[np.ix_(open_parts, mine)] - table.counts[here])
            gain = (gain / wanted[np.ix_(open_parts, mine)]).sum(1).round(9)
            best = open_parts[gain == gain.max()]
            chosen = int(best[0] if len(best) == 1 else random.choice(best))
            part[i] = chosen
            room[chosen] -= table.weights[i]
            lack[chosen, mine] -= table.counts[here]
            for label in mine.tolist():
                remaining[label] -= 1
        remaining = {label: count for label, count in remaining.items() if count > 0}
