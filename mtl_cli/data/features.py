"""From a table's columns to the numbers a network takes; fitted on training rows, kept with the model."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.tasks.labels import first

if TYPE_CHECKING:
    import pandas as pd

OTHER = "other"
"""The shared level of rare and of unknown values."""


@dataclass(frozen=True)
class FeatureConfig:
    """Which columns are features, and how they become numbers. Lists hold names or patterns such as ``temp_*``.

    Parameters
    ----------
    include, exclude : list of str
        ``include: null`` takes every column that is no target, id or split column.
    numeric, categorical, date : list of str
        Columns of that kind; the others are told apart by what they hold.
    scale : {"standard", "robust", "none"}
        Standard: mean 0, deviation 1. Robust: median 0, quartile range 1. Over the training rows.
    impute : {"median", "mean", "zero", "none"}
        What stands in for a missing number, which is also told in a column of its own; ``none`` makes it an error.
    min_count : int
        A level seen in fewer training rows shares the level "other".
    """

    include: list[str] | None = None
    exclude: list[str] = field(default_factory=list)
    numeric: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)
    date: list[str] = field(default_factory=list)
    scale: Literal["standard", "robust", "none"] = "standard"
    impute: Literal["median", "mean", "zero", "none"] = "median"
    min_count: PositiveInt = 5


@dataclass
class Column:
    """How one column of the table becomes one or more inputs."""

    name: str
    kind: str
    fill: float = 0.0
    center: list[float] = field(default_factory=lambda: [0.0])
    scale: list[float] = field(default_factory=lambda: [1.0])
    levels: list[str] = field(default_factory=list)
    has_other: bool = False
    has_missing: bool = False
    impute: bool = True

    @property
    def names(self) -> list[str]:
        """The names of the inputs this column gives."""
        if self.kind == "categorical":
            names = [f"{self.name}={level}" for level in self.levels] + [f"{self.name}={OTHER}"] * self.has_other
        elif self.kind == "date":
            names = [f"{self.name}:{part}" for part in ("days", "year_sin", "year_cos", "week_sin", "week_cos")]
        else:
            names = [self.name]
        return names + [f"{self.name} missing"] * self.has_missing


@dataclass
class FeatureEncoder:
    """Turns a table into inputs as it was fitted to."""

    columns: list[Column]

    @property
    def names(self) -> list[str]:
        """The name of each input."""
        return [name for column in self.columns for name in column.names]

    def transform(self, table: pd.DataFrame, where: str) -> np.ndarray:
        """Return the inputs, float32 of shape (n, inputs).

        Raises
        ------
        UserError
            Naming the columns that are missing, or the first value that is no number or not finite.
        """
        missing = [column.name for column in self.columns if column.name not in table.columns]
        if missing:
            problems = [
                Problem(where, f"the feature column '{name}' is missing", _near(name, table.columns))
                for name in missing[:10]
            ]
            raise UserError.of(problems)
        inputs = np.empty((len(table), len(self.names)), dtype="float32")
        start = 0
        for column in self.columns:
            block = _encode(table[column.name], column, where)
            inputs[:, start : start + block.shape[1]] = block
            start += block.shape[1]
        return inputs

    def state(self) -> list[dict[str, Any]]:
        """Return plain values for the model file."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_state(cls, state: list[dict[str, Any]]) -> FeatureEncoder:
        """Make the encoder that ``state`` was taken from."""
        return cls([Column(**column) for column in state])


def feature_names(config: FeatureConfig, table: pd.DataFrame, taken: list[str]) -> list[str]:
    """Return the columns that are features; ``taken`` are targets, id and split columns.

    Raises
    ------
    UserError
        If a name or pattern fits no column, or no column is left.
    """
    problems = []
    for key in ("include", "exclude", "numeric", "categorical", "date"):
        for pattern in getattr(config, key) or []:
            if not _matching(pattern, table.columns):
                where = f"dataset.features.{key}"
                problems.append(Problem(where, f"no column is '{pattern}'", did_you_mean(pattern, table.columns)))
    if problems:
        raise UserError.of(problems)
    if config.include is None:
        names = [name for name in table.columns if name not in taken]
    else:
        wanted = {name for pattern in config.include for name in _matching(pattern, table.columns)}
        names = [name for name in table.columns if name in wanted]
    dropped = {name for pattern in config.exclude for name in _matching(pattern, table.columns)}
    names = [name for name in names if name not in dropped]
    if not names:
        raise UserError(
            "dataset.features", "no column is left to be a feature", "give the table more, or exclude fewer"
        )
    return names


def fit_features(
    config: FeatureConfig,
    table: pd.DataFrame,
    names: list[str],
    train: np.ndarray,
    where: str,
    notice: Callable[[str], None] = lambda line: None,
) -> FeatureEncoder:
    """Fit an encoder to the rows ``train`` of ``table``, of which it takes the columns ``names``."""
    columns = []
    for name in names:
        values = table[name]
        if values.iloc[train].isna().all():
            notice(f"{where}: the column '{name}' is empty in the training rows and is left out")
            continue
        kind = _kind(name, values, config, where)
        column = Column(name, kind, has_missing=bool(values.iloc[train].isna().any()), impute=config.impute != "none")
        if kind == "categorical":
            _fit_levels(column, values.iloc[train], config.min_count, where, notice)
        else:
            _fit_numbers(column, _numbers(values, column, where)[train], config)
        columns.append(column)
    if not columns:
        raise UserError(where, "no column holds anything to learn from")
    return FeatureEncoder(columns)


def _matching(pattern: str, names: pd.Index) -> list[str]:
    return [pattern] if pattern in names else fnmatch.filter(names, pattern)


def _near(name: str, options: pd.Index) -> str | None:
    hint = did_you_mean(name, options)
    return hint if hint and hint.startswith("did") else None


def _kind(name: str, values: pd.Series, config: FeatureConfig, where: str) -> str:
    import pandas as pd

    for kind, patterns in (("numeric", config.numeric), ("categorical", config.categorical), ("date", config.date)):
        if any(fnmatch.fnmatchcase(name, pattern) or name == pattern for pattern in patterns):
            return kind
    if pd.api.types.is_bool_dtype(values.dtype):
        return "boolean"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "numeric"
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return "date"
    present = values.dropna().astype(str)
    if present.str.fullmatch(r"(?i)true|false").all():
        return "boolean"
    if present.str.match(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}.*)?$").all():
        return "date"
    return "categorical"


def _fit_levels(column: Column, values: pd.Series, min_count: int, where: str, notice: Callable[[str], None]) -> None:
    counts = values.dropna().map(str).value_counts()
    column.levels = sorted(counts.index[counts >= min_count])
    column.has_other = bool((counts < min_count).any())
    if len(counts) > 20 and len(counts) > 0.5 * len(values):
        notice(
            f"{where}: the column '{column.name}' has {len(counts)} levels in {len(values)} training rows; if it names"
            f" the rows give dataset.id={column.name}, if it is of no use dataset.features.exclude=[{column.name}]"
        )


def _fit_numbers(column: Column, numbers: np.ndarray, config: FeatureConfig) -> None:
    if column.kind == "boolean" or config.scale == "none":
        present = numbers[~np.isnan(numbers[:, 0])]
        column.center, column.scale = [0.0] * numbers.shape[1], [1.0] * numbers.shape[1]
    else:
        present = numbers[~np.isnan(numbers[:, 0])]
        if config.scale == "standard":
            center, scale = present.mean(0), present.std(0)
        else:
            low, center, high = np.quantile(present, [0.25, 0.5, 0.75], axis=0)
            scale = np.where(high > low, high - low, present.std(0))
        column.center = center.tolist()
        column.scale = np.where(scale > 1e-12 * np.maximum(1, np.abs(center)), scale, 1.0).tolist()
    if column.kind == "numeric":
        fills = {"median": np.median(present), "mean": present.mean()}
        column.fill = float(fills.get(config.impute, 0.0))
    elif column.kind == "boolean":
        column.fill = float(np.round(present.mean()))


def _encode(values: pd.Series, column: Column, where: str) -> np.ndarray:
    missing = values.isna().to_numpy()
    if column.kind == "categorical":
        width = len(column.levels) + column.has_other
        block = np.zeros((len(values), width), dtype="float32")
        positions = {level: i for i, level in enumerate(column.levels)}
        index = values.map(str, na_action="ignore").map(positions, na_action="ignore").to_numpy("float64", na_value=-1)
        index = np.where((index < 0) & ~missing & column.has_other, width - 1, index).astype(int)
        known = np.flatnonzero(index >= 0)
        block[known, index[known]] = 1
    else:
        if not column.impute and missing.any():
            _, row = first(values, missing)
            hint = "dataset.features.impute=median fills it in"
            raise UserError(where, f"the column '{column.name}' has no value in row {row}", hint)
        numbers = _numbers(values, column, where)
        if column.kind == "date":
            numbers = np.where(np.isnan(numbers), np.array(column.center), numbers)
        else:
            numbers = np.where(np.isnan(numbers), column.fill, numbers)
        block = (numbers - column.center) / column.scale
    if column.has_missing:
        block = np.column_stack([block, missing])
    return block


def _numbers(values: pd.Series, column: Column, where: str) -> np.ndarray:
    """Return float64 of shape (n, width), NaN where missing."""
    import pandas as pd

    if column.kind == "date":
        return _date_numbers(values, column, where)
    if column.kind == "boolean" and not pd.api.types.is_numeric_dtype(values.dtype):
        text = values.map(lambda value: str(value).lower(), na_action="ignore")
        numbers = text.map({"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0}, na_action="ignore")
    else:
        numbers = values
    result = (
        pd.to_numeric(numbers.astype("object"), errors="coerce").to_numpy("float64")
        if (numbers.dtype == object or not pd.api.types.is_numeric_dtype(numbers.dtype))
        else numbers.to_numpy("float64", na_value=np.nan)
    )
    _refuse(np.isnan(result) & values.notna().to_numpy(), values, column, where, f"is not {_A[column.kind]}")
    _refuse(np.isinf(result), values, column, where, "is not finite")
    return result[:, None]


_A = {"numeric": "a number", "boolean": "true or false", "date": "a date"}


def _date_numbers(values: pd.Series, column: Column, where: str) -> np.ndarray:
    """Return days since 1970, and the place in the year and in the week as points on a circle."""
    import pandas as pd

    dates = pd.to_datetime(values, errors="coerce", utc=True)
    _refuse((dates.isna() & values.notna()).to_numpy(), values, column, where, "is not a date")
    days = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)).to_numpy("float64", na_value=np.nan)
    year = 2 * np.pi * dates.dt.day_of_year.to_numpy("float64", na_value=np.nan) / 365.25
    week = 2 * np.pi * dates.dt.day_of_week.to_numpy("float64", na_value=np.nan) / 7
    return np.column_stack([days, np.sin(year), np.cos(year), np.sin(week), np.cos(week)])


def _refuse(wrong: np.ndarray, values: pd.Series, column: Column, where: str, what: str) -> None:
    if wrong.any():
        value, row = first(values, wrong)
        hint = None
        if column.kind == "numeric" and what.startswith("is not a"):
            hint = f"dataset.features.categorical=[{column.name}] takes it as text"
        raise UserError(where, f"'{value}' in row {row} of column '{column.name}' {what}", hint)
