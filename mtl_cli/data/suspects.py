"""What looks wrong about a table: columns that give a target away, values far out, duplicate columns.

Pure functions over columns. Each looks at a sample of the rows where the whole would take long; the cost grows with the
number of columns, not with that of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.tasks.labels import text_of

if TYPE_CHECKING:
    import pandas as pd

ROWS = 4_000
CELLS = 1_000_000
"""Rows, and cells in all, that the search for leaks and repeated columns looks at."""
PAIRS = 20_000
"""Pairs of a column and a target that are compared."""
FAR = 10.0
"""Robust deviations, 1.4826 · the median distance from the median."""
ALIKE = 0.999
"""|r| of two columns that hold the same."""
FEWEST = 20
"""Rows from which on anything is suspected."""


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong.

    Parameters
    ----------
    kind : {"leak", "label", "far", "repeated", "rare"}
    columns : list of str
    text : str
        One line.
    hint : str, optional
        What to give if it is wrong.
    """

    kind: str
    columns: list[str]
    text: str
    hint: str | None = None


def sample_of(rows: int, columns: int) -> np.ndarray:
    """Return the numbers of the rows to look at, in order."""
    most = min(ROWS, max(300, CELLS // max(columns, 1)))
    return np.arange(rows) if rows <= most else np.sort(np.random.default_rng(0).choice(rows, most, replace=False))


def codes_of(values: pd.Series, ordered: bool) -> np.ndarray:
    """Return each value's place among the distinct ones, in order if ``ordered``; missing ones share the last."""
    import pandas as pd

    codes, distinct = pd.factorize(values if ordered else values.astype(object), sort=ordered)
    return np.where(codes < 0, len(distinct), codes)


@dataclass(frozen=True)
class Target:
    """A target of some rows: its values (codes of classes), which rows have one, and what is wrong by chance.

    Parameters
    ----------
    name : str
    values : ndarray of float
    present : ndarray of bool
    measured : bool
        Whether it is a measurement, no class.
    chance : float
        The share of classes that the commonest one leaves wrong; of measurements, the variance.
    """

    name: str
    values: np.ndarray
    present: np.ndarray
    measured: bool
    chance: float


def leaks(features: pd.DataFrame, numeric: list[str], labels: Mapping[str, pd.Series]) -> Iterator[Finding]:
    """Yield the columns that alone determine a target.

    Parameters
    ----------
    features : DataFrame
        The feature columns of some rows.
    numeric : list of str
        Those that are numbers.
    labels : mapping of str to Series
        By task, of the same rows: numbers (floats), classes, or a frozenset of labels a row.
    """
    targets = [target for target in _targets(labels) if target.present.sum() >= FEWEST and target.chance > 0]
    shuffled = np.random.default_rng(0).permutation(len(features))
    for name in features.columns[: PAIRS // max(len(targets), 1)]:
        codes = codes_of(features[name], name in numeric)
        distinct = len(np.unique(codes))
        if distinct < 2 or (distinct > len(codes) / 5 and name not in numeric):
            continue
        order = shuffled[np.argsort(codes[shuffled], kind="stable")] if distinct > len(codes) / 5 else None
        if (found := next((t for t in targets if determines(codes, order, t)), None)) is not None:
            yield Finding(
                "leak", [name], f"'{name}' alone determines {found.name}",
                f"if it is not known when predicting: dataset.features.exclude=[{name}]",
            )  # fmt: skip


def determines(codes: np.ndarray, order: np.ndarray | None, target: Target) -> bool:
    """Tell whether a column says a target all but exactly.

    A column of few values is judged by what the other rows of a row's value say, one of many (whose ``order`` is given,
    equal values shuffled) by the neighbours in its order. Then 99.5 % of the classes must be right, and 20 times fewer
    wrong than by chance; or 0.1 % of the variance may be left, of the values or of their ranks.
    """
    if order is None:
        codes, values = codes[target.present], target.values[target.present]
        if target.measured:
            return _left_by_levels(codes, values) <= 1e-3
        wrong = _wrong_by_levels(codes, values.astype(int))
    else:
        values = target.values[order[target.present[order]]]
        if target.measured:
            left = (np.diff(values) ** 2).mean() / 2 / target.chance  # von Neumann's ratio, halved
            if left <= 1e-3 or left > 0.1:
                return bool(left <= 1e-3)
            ranks = np.unique(values, return_inverse=True)[1].astype(float)
            return bool((np.diff(ranks) ** 2).mean() / 2 <= 1e-3 * ranks.var())
        wrong = float((np.diff(values) != 0).mean())
    return wrong <= 0.005 and wrong <= target.chance / 20


def _targets(labels: Mapping[str, pd.Series]) -> Iterator[Target]:
    import pandas as pd

    for task, values in labels.items():
        missing = values.isna().to_numpy()
        present = values[~missing]
        if pd.api.types.is_float_dtype(values.dtype):
            yield Target(task, values.to_numpy(), ~missing, True, float(present.var(ddof=0)) if len(present) else 0.0)
        elif len(present) and isinstance(present.iloc[0], frozenset):
            for label in sorted({label for entry in present for label in entry})[:10]:
                has = np.array(
                    [not gone and label in entry for entry, gone in zip(values, missing, strict=True)], float
                )
                yield Target(f"{task} '{label}'", has, ~missing, False, float(min(m := has[~missing].mean(), 1 - m)))
        else:
            codes = pd.factorize(values.astype(object))[0]
            counts = np.bincount(codes[~missing], minlength=1)
            yield Target(task, codes.astype(float), ~missing, False, 1 - counts.max() / max(len(present), 1))


def _left_by_levels(codes: np.ndarray, target: np.ndarray) -> float:
    """Return the share of the variance within levels, over the rows of levels with more than one."""
    counts, sums = np.bincount(codes), np.bincount(codes, target)
    several = counts[codes] > 1
    if several.sum() < len(codes) / 2 or not (total := target[several].var()):
        return 1.0
    n = counts[codes[several]]
    within = (target - (sums / counts.clip(1))[codes])[several] * np.sqrt(n / (n - 1))
    return float((within**2).mean() / total)


def _wrong_by_levels(codes: np.ndarray, classes: np.ndarray) -> float:
    """Return how often the other rows of a row's level say another class."""
    shape = codes.max() + 1, classes.max() + 1
    if shape[1] < 2 or shape[0] * shape[1] > CELLS:
        return 1.0
    counts = np.bincount(codes * shape[1] + classes, minlength=shape[0] * shape[1]).reshape(shape)
    second, top = np.partition(counts, -2, axis=1)[:, -2:].T
    own = counts[codes, classes]
    best_other = np.where(own == top[codes], second[codes], top[codes])
    return float(((own < 2) | (own - 1 < best_other)).mean())


def far_values(name: str, values: np.ndarray) -> Finding | None:
    """Return that values of a column lie beyond ``FAR`` robust deviations from its median, if any do."""
    present = values[np.isfinite(values)]
    some = present if len(present) <= ROWS else np.random.default_rng(0).choice(present, ROWS, replace=False)
    if len(some) < FEWEST:
        return None
    center, deviation = _robust(some)
    common = None
    if not deviation:  # more than half share a value, such as 0: the others are looked at
        common, some = center, some[some != center]
        if len(some) < FEWEST:
            return None
        center, deviation = _robust(some)
    far = (np.abs(values - center) > FAR * deviation) & (values != common)
    if not deviation or not far.any() or far.sum() > 0.01 * len(present):  # a long tail is no error
        return None
    row = int(np.nanargmax(np.where(far, np.abs(values - center), -1)))
    many = f"{far.sum()} values" if far.sum() > 1 else "one value"
    return Finding("far", [name], f"'{name}' has {many} far from the others, such as {values[row]:g} in row {row + 1}")


def _robust(values: np.ndarray) -> tuple[float, float]:
    center = float(np.median(values))
    return center, 1.4826 * float(np.median(np.abs(values - center)))


def repeated(features: pd.DataFrame, numeric: list[str]) -> list[tuple[str, str]]:
    """Return pairs of columns that hold the same: numbers up to scale, others up to the names of their levels."""
    import pandas as pd

    pairs: dict[tuple[str, str], None] = {}
    seen: dict[bytes, str] = {}
    for name in features.columns:
        codes, distinct = pd.factorize(features[name])
        if 2 <= len(distinct) <= len(codes) / 2:
            earlier = seen.setdefault(codes.tobytes(), name)
            if earlier != name:
                pairs[earlier, name] = None
    measured = [name for name in numeric if len(numeric) <= ROWS]
    if not measured:
        return list(pairs)
    matrix = np.column_stack([features[name].to_numpy("float64", na_value=np.nan) for name in measured])
    known = np.isfinite(matrix)
    counts = known.sum(0).clip(1)
    matrix = np.where(known, matrix, 0) - np.where(known, np.where(known, matrix, 0).sum(0) / counts, 0)
    norms = np.sqrt((matrix**2).sum(0))
    matrix = matrix / np.where(norms > 0, norms, 1)
    same = np.triu(np.abs(matrix.T @ matrix) >= ALIKE, 1)
    for i, j in np.argwhere(same):
        if measured[i] not in {second for _, second in pairs}:
            pairs[measured[i], measured[j]] = None
    return list(pairs)


def rare_levels(name: str, values: pd.Series) -> Finding | None:
    """Return that most levels of a category have one row each, if so."""
    counts = values.value_counts()
    once = int((counts == 1).sum())
    if once < 5 or once <= len(counts) / 2:
        return None
    example = text_of(counts.index[-1])
    shown = example if len(example) <= 20 else f"{example[:19]}…"
    return Finding("rare", [name], f"'{name}' has {len(counts)} levels, {once} of them in one row, such as {shown}")
