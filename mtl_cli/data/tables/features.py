"""From a table's columns to the numbers a network takes; fitted on training rows, kept with the model."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.data.tables.columns import Column, fit_levels, fit_numbers, kind_of, numbers, spread_values
from mtl_cli.data.tables.reading import Kind
from mtl_cli.data.tables.scaling import LARGEST, LARGEST_UNSCALED, Scale
from mtl_cli.tasks.labels import refuse_values

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.feature import Feature, Field
    from mtl_cli.data.inputs import CodedRows, InputRows, InputSpec

MOST_DENSE = 128
"""Inputs of categories that are kept in memory as they are; more are made per batch."""


@dataclass(frozen=True)
class FeatureConfig:
    """Which columns are features, and how they become numbers. Lists hold names or patterns such as ``temp_*``.

    Parameters
    ----------
    include, exclude : list of str
        ``include: null`` takes every column that is no target, id or split column.
    numeric, categorical, date : list of str
        Columns of that kind; the kind of the others is found from what they hold.
    scale : {"bounded", "standard", "robust", "quantile", "clip", "none"}
        Standard: mean 0, deviation 1. Bounded: the same without outliers, which are pulled in towards the range of the
        others, as are numbers beyond it in new rows; dates are not. Robust: median 0, quartile range 1. Quantile: the
        normal quantile of its rank. Clip: robust, then smoothly clipped to ±3. Over the training rows.
    impute : {"median", "mean", "zero", "none"}
        What replaces a missing number, which a column of its own also marks; ``none`` makes it an error.
    min_count : int
        A level seen in fewer training rows shares the level "other".
    """

    include: list[str] | None = None
    exclude: list[str] = field(default_factory=list)
    numeric: list[str] = field(default_factory=list)
    categorical: list[str] = field(default_factory=list)
    date: list[str] = field(default_factory=list)
    scale: Scale = "bounded"
    impute: Literal["median", "mean", "zero", "none"] = "median"
    min_count: PositiveInt = 5


@dataclass
class FeatureEncoder:
    """Turns a table into inputs as it was fitted to."""

    columns: list[Column]

    @property
    def spec(self) -> InputSpec:
        """What the network reads: a number per input."""
        from mtl_cli.data.inputs import InputSpec

        return InputSpec("features", (len(self.names),), self.names, self.indicators)

    @property
    def sources(self) -> list[str]:
        """The columns that are read."""
        return [column.name for column in self.columns]

    @property
    def names(self) -> list[str]:
        """The name of each input."""
        return [name for column in self.columns for name in column.names]

    @property
    def indicators(self) -> list[int]:
        """The inputs that are no numbers: levels of categories, booleans, and marks of missing values."""
        found = [indicator for column in self.columns for indicator in column.indicators]
        return [number for number, indicator in enumerate(found) if indicator]

    def features(self) -> list[Feature]:
        """Return what is read of a row: a feature per column."""
        from mtl_cli.data.tables.describe import features_of

        return features_of(self.columns)

    def fields(self) -> list[Field]:
        """Return what a person gives of a row: see ``Reader.fields``."""
        from mtl_cli.data.tables.describe import fields_of

        return fields_of(self.columns)

    def places(self, rows: InputRows) -> list[Feature]:
        """Return the features whose importance can be asked for."""
        return self.features()

    def grid(self, feature: Feature, table: pd.DataFrame, points: int) -> tuple[list[Any], np.ndarray] | None:
        """Return values of a column that a table has, and its inputs at each: see ``Reader.grid``."""
        column = next(column for column in self.columns if column.name == feature.name)
        values = spread_values(column, table[column.name], points)
        return (values.tolist(), column.encode(values, "the table")) if len(values) else None

    def encode(self, table: pd.DataFrame, where: str) -> InputRows:
        """Return the inputs, as ``transform`` does; where categories have many levels, in a form that keeps them small.

        Raises
        ------
        UserError
            Naming the columns that are missing, or the first value that is no number.
        """
        from mtl_cli.data.inputs import DenseRows

        if sum(len(column.names) for column in self.columns if column.kind == "categorical") <= MOST_DENSE:
            return DenseRows(self.transform(table, where))
        self._check_columns(table, where)
        return self._coded(table, where)

    def transform(self, table: pd.DataFrame, where: str) -> np.ndarray:
        """Return the inputs, float32 of shape (n, inputs). Raises UserError as ``encode`` does."""
        self._check_columns(table, where)
        inputs = np.empty((len(table), len(self.names)), dtype="float32")
        start = 0
        for column in self.columns:
            block = column.encode(table[column.name], where)
            with np.errstate(over="ignore"):  # a number that is too large is infinite, and its row gets no prediction
                inputs[:, start : start + block.shape[1]] = block
            start += block.shape[1]
        return inputs

    def _coded(self, table: pd.DataFrame, where: str) -> CodedRows:
        """Return the inputs with each category as one number."""
        import torch

        from mtl_cli.data.inputs import CodedRows

        numbers: list[np.ndarray] = []
        places: list[int] = []
        codes: list[np.ndarray] = []
        none = np.zeros(len(self.names), dtype="float32")
        start = 0
        for column in self.columns:
            values, width = table[column.name], len(column.names)
            if column.kind == "categorical":
                found = column.codes(values)
                codes.append(np.where(found < 0, -1, found + start).astype("int32"))
                none[start : start + width] -= column.offsets
                missing = values.isna().to_numpy()[:, None] if column.has_missing else np.empty((len(values), 0))
                block = missing + none[start + width - missing.shape[1] : start + width]
            else:
                block = column.encode(values, where)
            with np.errstate(over="ignore"):
                numbers.append(block.astype("float32"))
            places += range(start + width - block.shape[1], start + width)
            start += width
        dense, chosen = torch.from_numpy(np.concatenate(numbers, axis=1)), torch.tensor(places, dtype=torch.int64)
        return CodedRows(dense, chosen, torch.from_numpy(np.stack(codes, axis=1)), torch.from_numpy(none))

    def _check_columns(self, table: pd.DataFrame, where: str) -> None:
        """Raise UserError for the columns that a table lacks."""
        missing = [column.name for column in self.columns if column.name not in table.columns]
        if missing:
            problems = [
                Problem(where, f"the feature column '{name}' is missing", _near(name, table.columns))
                for name in missing
            ]
            raise UserError.of(problems)

    def compare(self, table: pd.DataFrame, where: str, notice: Callable[[str], None]) -> None:
        """Tell in what a table differs from the training rows: see ``Comparison``."""
        from mtl_cli.data.tables.compare import Comparison

        comparison = Comparison(self.columns)
        comparison.add(table, where)
        comparison.tell(where, notice)

    def state(self) -> list[dict[str, Any]]:
        """Return plain values for the model file."""
        return [asdict(column) for column in self.columns]

    @classmethod
    def from_state(cls, state: list[dict[str, Any]]) -> FeatureEncoder:
        """Make the encoder that ``state`` was taken from."""
        return cls([Column.restore(column) for column in state])


def feature_names(config: FeatureConfig, table: pd.DataFrame, targets: list[str], others: list[str]) -> list[str]:
    """Return the columns that are features: no ``targets``, and no ``others`` (id and split columns) unless by name.

    Raises
    ------
    UserError
        If a name or pattern fits no column, or no column is left.
    """
    taken, problems = [*targets, *others], []
    lists = [("include", config.include), ("exclude", config.exclude), *_kinds(config).items()]
    for key, patterns in lists:
        for pattern in patterns or []:
            if not _matching(pattern, table.columns):
                where = f"dataset.features.{key}"
                problems.append(Problem(where, f"no column is '{pattern}'", did_you_mean(pattern, table.columns)))
    if problems:
        raise UserError.of(problems)
    if config.include is None:
        names = [name for name in table.columns if name not in taken]
    else:
        wanted = {name for pattern in config.include for name in _matching(pattern, table.columns)}
        given = set(config.include) - set(targets)
        if leaked := [name for name in config.include if name in targets]:
            raise UserError("dataset.features.include", f"'{leaked[0]}' is a target and cannot be a feature too")
        names = [name for name in table.columns if name in wanted and (name not in taken or name in given)]
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
    from pandas.api.types import is_integer_dtype

    columns = []
    for name in names:
        values = table[name]
        if values.iloc[train].isna().all():
            notice(f"{where}: the column '{name}' is empty in the training rows and is left out")
            continue
        column = Column(name, declared_kind(config, name) or kind_of(values), impute=config.impute != "none")
        column.has_missing = bool(values.iloc[train].isna().any())
        if column.kind == "categorical":
            levels = fit_levels(column, values.iloc[train], config.min_count)
            if levels > 20 and levels > 0.5 * len(train):
                notice(
                    f"{where}: the column '{name}' has {levels} levels in {len(train)} training rows; if it names"
                    f" the rows give dataset.id={name}, if it is of no use dataset.features.exclude=[{name}]"
                )
        else:
            found = numbers(values, column, where, hint=f"dataset.features.categorical=[{name}] takes it as text")
            refuse_values(np.isinf(found).any(1), values, where, "is not finite")
            wrong = (np.abs(found) > (LARGEST_UNSCALED if config.scale == "none" else LARGEST)).any(1)
            hint = "if it stands for a missing value, dataset.missing=[…] names it"
            refuse_values(wrong, values, where, "is too large to learn from", hint)
            fit_numbers(column, found[train], config.scale, config.impute)
            if is_integer_dtype(values.dtype) and len(values) > 20 and values.is_unique and _steps_by_one(values):
                notice(f"{where}: the column '{name}' counts the rows; if it is an id, use dataset.id={name}")
        if column.has_missing:
            column.usual.append(float(values.iloc[train].isna().mean() > 0.5))
        columns.append(column)
    if not columns:
        raise UserError(where, "no column holds anything to learn from")
    return FeatureEncoder(columns)


def _steps_by_one(values: pd.Series) -> bool:
    return bool(values.max() - values.min() == len(values) - 1)


def _kinds(config: FeatureConfig) -> dict[Kind, list[str]]:
    """Return the columns whose kind the user says, by kind."""
    return {"numeric": config.numeric, "categorical": config.categorical, "date": config.date}


def declared_kind(config: FeatureConfig, name: str) -> Kind | None:
    """Return the kind that the user says a column is of, if any."""
    kinds = _kinds(config).items()
    return next((kind for kind, patterns in kinds if any(fits(name, p) for p in patterns)), None)


def fits(name: str, pattern: str) -> bool:
    """Whether a column is the one, or one of those, that a key's pattern means."""
    return name == pattern or fnmatch.fnmatchcase(name, pattern)


def _matching(pattern: str, names: pd.Index) -> list[str]:
    return [name for name in names if fits(name, pattern)]


def _near(name: str, options: pd.Index) -> str | None:
    hint = did_you_mean(name, options)
    return hint if hint and hint.startswith("did") else None
