"""A first look at a data set: its parts, targets and features as they were understood, and what looks wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.data.suspects import Finding, far_values, leaks, rare_levels, repeated, sample_of

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.tasks.task import Task


@dataclass(frozen=True)
class TargetLook:
    """A task's labels.

    Parameters
    ----------
    kind : str
    labels : int
        Rows that have one.
    shares : dict of str to float
        Of each class, or label, among the rows that have one, the largest first; empty for measurements.
    low, median, high : float, optional
        Of measurements.
    """

    kind: str
    labels: int
    shares: dict[str, float] = field(default_factory=dict)
    low: float | None = None
    median: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class ColumnLook:
    """A feature column: its kind, missing cells, the range of numbers, and the levels of a category."""

    kind: str
    missing: int
    low: float | None = None
    high: float | None = None
    levels: int | None = None


@dataclass(frozen=True)
class FeatureLook:
    """A table's features.

    Parameters
    ----------
    columns : dict of str to ColumnLook
    levels : int
        Of all categories, those of the training rows, rare ones together as one.
    inputs : int
        Numbers that the network reads.
    left_out : dict of str to str
        Columns that are no features although nobody said so, and why.
    findings : list of Finding
    """

    columns: dict[str, ColumnLook]
    levels: int
    inputs: int
    left_out: dict[str, str]
    findings: list[Finding]


@dataclass(frozen=True)
class Look:
    """What the first look shows.

    Parameters
    ----------
    parts : dict of str to int
        Rows of each part.
    left : int
        Rows in no part.
    targets : dict of str to TargetLook
        By task.
    inputs : str
        What the network reads: "features", "image" …
    width : tuple of int
        The shape of a row.
    features : FeatureLook, optional
        Of a table.
    about : str
        What is to be said of the inputs where they are no table's features.
    sets : dict of str to Look
        By data set, where several are joined.
    """

    parts: dict[str, int]
    left: int
    targets: dict[str, TargetLook]
    inputs: str
    width: tuple[int, ...]
    features: FeatureLook | None = None
    about: str = ""
    sets: dict[str, Look] = field(default_factory=dict)


def look_at_target(task: Task, labels: pd.Series) -> TargetLook:
    """Return what a task's labels are like."""
    import pandas as pd

    present = task.strata(labels.dropna())
    if task.level == "token":
        return TargetLook(task.kind, len(present))
    if pd.api.types.is_float_dtype(present.dtype):
        low, median, high = (float(value) for value in np.quantile(present, [0, 0.5, 1])) if len(present) else (0, 0, 0)
        return TargetLook(task.kind, len(present), {}, low, median, high)
    several = len(present) and isinstance(present.iloc[0], frozenset)
    counts = (present.map(sorted).explode() if several else present).value_counts()
    return TargetLook(task.kind, len(present), {str(label): int(n) / len(present) for label, n in counts.items()})


def look_at_features(
    table: pd.DataFrame, kinds: Mapping[str, str], levels: int, inputs: int, left_out: dict[str, str],
    labels: Mapping[str, pd.Series], elsewhere: Mapping[str, str],
) -> FeatureLook:  # fmt: skip
    """Return what a table's feature columns are like, and what looks wrong about them.

    Parameters
    ----------
    table : DataFrame
    kinds : mapping of str to str
        The kind of each feature column.
    levels, inputs, left_out
        As ``FeatureLook`` has them.
    labels : mapping of str to Series
        What ``TaskConfig.strata`` returns, by task.
    elsewhere : mapping of str to str
        Columns that are labels in another config, and where.
    """
    numbers = {name: _numbers(table[name]) for name, kind in kinds.items() if kind == "numeric"}
    columns = {name: _column(table[name], kind, numbers.get(name)) for name, kind in kinds.items()}
    return FeatureLook(columns, levels, inputs, left_out, find_suspects(table, kinds, numbers, labels, elsewhere))


def _column(values: pd.Series, kind: str, numbers: pd.Series | None) -> ColumnLook:
    missing = int(values.isna().sum())
    if numbers is not None:
        present = numbers.notna().any()
        return ColumnLook(kind, missing, *((float(numbers.min()), float(numbers.max())) if present else ()))
    return ColumnLook(kind, missing, levels=int(values.nunique()) if kind == "categorical" else None)


def find_suspects(
    table: pd.DataFrame, kinds: Mapping[str, str], numbers: Mapping[str, pd.Series], labels: Mapping[str, pd.Series],
    elsewhere: Mapping[str, str],
) -> list[Finding]:  # fmt: skip
    """Return what looks wrong: what makes a result worthless first. ``numbers`` are the numeric columns."""
    import pandas as pd

    numeric = list(numbers)
    rows = sample_of(len(table), len(kinds))
    some = pd.DataFrame({name: numbers.get(name, table[name]).iloc[rows] for name in kinds})
    found = [
        Finding(
            "label", [name], f"'{name}' is a feature here and a label in {elsewhere[name]}",
            f"if it is not known when predicting: dataset.features.exclude=[{name}]",
        )
        for name in kinds if name in elsewhere
    ]  # fmt: skip
    found += leaks(some, numeric, {task: values.iloc[rows] for task, values in labels.items()})
    measured = {task: values for task, values in labels.items() if pd.api.types.is_float_dtype(values.dtype)}
    for name, values in {**numbers, **measured}.items():
        if (far := far_values(name, values.to_numpy("float64", na_value=np.nan))) is not None:
            found.append(far)
    for first, second in repeated(some, numeric):
        text = f"'{first}' and '{second}' hold the same"
        found.append(Finding("repeated", [first, second], text, f"dataset.features.exclude=[{second}]"))
    for name, kind in kinds.items():
        if kind == "categorical" and (rare := rare_levels(name, table[name])) is not None:
            found.append(rare)
    return found


def _numbers(values: pd.Series) -> pd.Series:
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype("float64")
    return pd.to_numeric(values.astype(object), errors="coerce").astype("float64")


def plain(look: Look) -> dict[str, Any]:
    """Return a look as plain values."""
    from dataclasses import asdict

    return asdict(look)
