"""One column of a table, and the inputs it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.data.dates import DATE_PARTS, date_numbers
from mtl_cli.data.tables.reading import Kind, kind_of_type
from mtl_cli.data.tables.scaling import (
    LARGEST,
    Scale,
    bound,
    center_and_scale,
    landmarks,
    smooth_clip,
    to_normal,
    usual_range,
)
from mtl_cli.runs.strangers import NotOurs, made_of
from mtl_cli.tasks.labels import first, refuse_values, text_of

if TYPE_CHECKING:
    import pandas as pd

OTHER = "other"
"""The shared level of rare and of unknown values."""
_BOOLEANS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}
_A = {"numeric": "a number", "boolean": "true or false"}


@dataclass
class Column:
    """How one column becomes inputs, fitted to its training rows.

    Parameters
    ----------
    name, kind : str
    fill, center, scale : list of float
        Per number: its replacement where it is missing, and (number − center) / scale.
    clip : bool
        Whether what is scaled is then clipped smoothly.
    landmarks : list of list of float
        Per number, the quantiles by whose ranks it is scaled in place of center and scale; empty for none.
    levels : list of str
        Of a categorical column; ``has_other`` says whether rare ones share a further level.
    has_missing : bool
        Whether a further input says that the value is missing.
    impute : bool
        Whether a missing number may be filled in.
    low, high : list of float
        Per number, the least and the largest of training.
    bounds : list of list of float
        The least and the largest that are not outliers, beyond which numbers are pulled in; empty for none.
    commonest : str, optional
        The level that most training rows have.
    usual : list of float
        Per input that is 0 or 1, what most training rows have, which is taken off; empty for none. Hundreds of inputs
        that are 1 in nearly all rows would move together, as one large input that says nothing, and a network would
        learn nothing of the few rows where one of them is 0.
    """

    name: str
    kind: Kind
    fill: list[float] = field(default_factory=list)
    center: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    levels: list[str] = field(default_factory=list)
    has_other: bool = False
    has_missing: bool = False
    impute: bool = True
    low: list[float] = field(default_factory=list)
    high: list[float] = field(default_factory=list)
    clip: bool = False
    landmarks: list[list[float]] = field(default_factory=list)
    bounds: list[list[float]] = field(default_factory=list)
    commonest: str | None = None
    usual: list[float] = field(default_factory=list)

    @classmethod
    def restore(cls, state: Any) -> Column:
        """Make a column of the plain values of another. Raises NotOurs if they are none, or do not fit together."""
        column = made_of(cls, state)
        width = {"categorical": 0, "date": len(DATE_PARTS)}.get(column.kind, 1)
        lists = [column.fill, column.center, column.scale, column.low, column.high, *column.bounds]
        if any(len(own) != width for own in lists) or len(column.bounds) not in (0, 2):
            raise NotOurs(f"has a column '{column.name}' that is not scaled as {column.kind} ones are")
        if len(column.usual) not in (0, sum(column.indicators)):
            raise NotOurs(f"has a column '{column.name}' with usual values of other inputs than it has")
        return column

    @property
    def names(self) -> list[str]:
        """The names of the inputs."""
        if self.kind == "categorical":
            names = [f"{self.name}={level}" for level in self.levels] + [f"{self.name}={OTHER}"] * self.has_other
        elif self.kind == "date":
            names = [f"{self.name}:{part}" for part in DATE_PARTS]
        else:
            names = [self.name]
        return names + [f"{self.name} missing"] * self.has_missing

    @property
    def indicators(self) -> list[bool]:
        """Whether each input is one of two numbers by its making: a level, a boolean, or the mark of missing values."""
        width = len(self.names) - self.has_missing
        return [self.kind in ("categorical", "boolean")] * width + [True] * self.has_missing

    @property
    def offsets(self) -> np.ndarray:
        """What is taken off each input, shape (inputs,): its usual value, or 0."""
        found = np.zeros(len(self.names))
        if self.usual:
            found[self.indicators] = self.usual
        return found

    def encode(self, values: pd.Series, where: str) -> np.ndarray:
        """Return the inputs, shape (n, inputs). Raises UserError for a value that is none of this column's kind."""
        missing = values.isna().to_numpy()
        if self.kind == "categorical":
            block = self._one_hot(values)
        else:
            if not self.impute and missing.any():
                _, row = first(values, missing)
                hint = "dataset.features.impute=median fills it in"
                raise UserError(where, f"the column '{self.name}' has no value in row {row}", hint)
            found = numbers(values, self, where)
            block = self._scaled(np.where(np.isnan(found), self.fill, found))
        block = np.column_stack([block, missing]) if self.has_missing else block
        return block - self.offsets.astype(block.dtype) if any(self.usual) else block

    def _scaled(self, found: np.ndarray) -> np.ndarray:
        """Return numbers as they were scaled in training; what is infinite stays so, for its row gets no prediction."""
        if self.bounds:
            ends, own, wild = np.array(self.bounds), np.array(self.center), np.abs(found) > LARGEST
            found = np.where(wild, np.copysign(np.inf, found), bound(np.where(wild, own, found), own, *ends))
        scaled = (found - self.center) / self.scale
        if self.clip:
            return np.where(np.isinf(found), found, smooth_clip(np.where(np.isinf(found), 0, scaled)))
        for number, quantiles in enumerate(self.landmarks):
            if quantiles:
                own = found[:, number]
                scaled[:, number] = np.where(np.isinf(own), own, to_normal(own, np.array(quantiles)))
        return scaled

    def unknown_levels(self, values: pd.Series) -> list[str]:
        """Return the levels that this column was not fitted to; none if it has a level for the others."""
        if self.kind != "categorical":
            return []
        return sorted(set(values.dropna().map(text_of)) - set(self.levels)) if not self.has_other else []

    def other_numbers(self, values: pd.Series) -> int:
        """Return how many cells hold a number that is neither 0 nor 1, of a column that was only those in training."""
        import pandas as pd

        if self.kind != "boolean" or not pd.api.types.is_numeric_dtype(values.dtype):
            return 0
        return int((values.notna() & ~values.isin([0, 1])).sum())

    def codes(self, values: pd.Series) -> np.ndarray:
        """Return the number of each value's level among the inputs, int32 of shape (n,); −1 for none of them."""
        import pandas as pd

        unknown = len(self.levels) if self.has_other else -1
        positions = {level: i for i, level in enumerate(self.levels)}
        found, distinct = pd.factorize(values.astype("object"))  # as objects, so that 1 and 1.5 stay what they are
        numbers = [positions.get(text_of(value), unknown) for value in distinct]
        return np.array([*numbers, -1], dtype="int32")[found]

    def _one_hot(self, values: pd.Series) -> np.ndarray:
        index = self.codes(values)
        known = np.flatnonzero(index >= 0)
        block = np.zeros((len(values), len(self.levels) + self.has_other), dtype="float32")
        block[known, index[known]] = 1
        return block


def kind_of(values: pd.Series) -> Kind:
    """Tell what inputs a column of values becomes; numbers that are only 0 and 1 say yes or no."""
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return "categorical"
    kind = kind_of_type(values)
    if kind == "numeric" and values.min() == 0 and values.max() == 1 and values.dropna().isin([0, 1]).all():
        return "boolean"
    if kind == "categorical" and {str(value).lower() for value in values.dropna().unique()} <= {"true", "false"}:
        return "boolean"
    return kind


def fit_levels(column: Column, values: pd.Series, min_count: int) -> int:
    """Take the levels of a categorical column from its training rows; return how many there are, rare ones too."""
    counts = values.dropna().map(text_of).value_counts()
    column.levels = sorted(counts.index[counts >= min_count])
    column.has_other = bool((counts < min_count).any())
    each = [*counts[column.levels], *[counts[counts < min_count].sum()] * column.has_other]
    column.usual = [float(rows > len(values) / 2) for rows in each]
    column.commonest = min(column.levels, key=lambda level: (-counts[level], level), default=None)
    return len(counts)


def fit_numbers(column: Column, found: np.ndarray, scale: Scale, impute: str) -> None:
    """Fit fill, center and scale to the numbers of the training rows, shape (n, width), NaN where missing."""
    present = found[~np.isnan(found[:, 0])]
    column.low, column.high = present.min(0).tolist(), present.max(0).tolist()
    mean = present.mean(0)
    if column.kind == "boolean":
        column.fill = np.round(mean).tolist()
        column.usual = list(column.fill)
    elif column.kind == "date":
        column.fill = mean.tolist()
    else:
        column.fill = {"median": np.median(present, axis=0), "mean": mean}.get(impute, np.zeros_like(mean)).tolist()
    if column.kind == "boolean" or scale == "none":
        column.center, column.scale = [0.0] * len(mean), [1.0] * len(mean)
        return
    if scale == "bounded" and column.kind == "numeric":  # a date is not stray: time goes on
        low, high = usual_range(present[:, 0])
        column.bounds = [[low], [high]]
        present = present[(low <= present[:, 0]) & (present[:, 0] <= high)]
    center, spread = center_and_scale(present, scale)
    column.center, column.scale, column.clip = center.tolist(), spread.tolist(), scale == "clip"
    if scale == "quantile":
        varies = present.max(0) > present.min(0)
        quantiles = landmarks(present).T.tolist()
        column.landmarks = [own if several else [] for own, several in zip(quantiles, varies, strict=True)]


def numbers(values: pd.Series, column: Column, where: str, hint: str | None = None) -> np.ndarray:
    """Return a column's numbers as float64 of shape (n, width), NaN where missing.

    Raises
    ------
    UserError
        Naming the first value that is none.
    """
    import pandas as pd

    if column.kind == "date":
        return date_numbers(values, where)
    if pd.api.types.is_numeric_dtype(values.dtype):
        result = values.to_numpy("float64", na_value=np.nan)
    else:
        text = values.map(lambda value: str(value).strip().lower(), na_action="ignore")
        boolean = column.kind == "boolean"
        result = (text.map(_BOOLEANS) if boolean else pd.to_numeric(text, errors="coerce")).to_numpy("float64")
    refuse_values(np.isnan(result) & values.notna().to_numpy(), values, where, f"is not {_A[column.kind]}", hint)
    return result[:, None]


def refuse_too_large(found: np.ndarray, values: pd.Series, where: str) -> None:
    """Raise UserError for the first number that is none in the type that a network reads, float32."""
    with np.errstate(over="ignore"):
        refuse_values(np.isinf(found[:, 0].astype("float32")), values, where, "is not finite as float32")


def spread_values(column: Column, values: pd.Series, points: int) -> pd.Series:
    """Return at most so many values that are in a column, from the least to the largest, or the commonest levels."""
    present = values.dropna()
    if column.kind in ("categorical", "boolean"):
        return present.value_counts().index[:points].to_series().reset_index(drop=True)
    distinct = present.drop_duplicates().sort_values(ignore_index=True)
    chosen = present.sort_values(ignore_index=True) if len(distinct) > points else distinct
    places = np.unique(np.linspace(0, len(chosen) - 1, min(points, len(chosen))).round().astype(int))
    return chosen.iloc[places].drop_duplicates().reset_index(drop=True)
