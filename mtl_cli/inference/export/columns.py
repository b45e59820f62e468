"""A table's columns to a network's inputs in torch, as ``Column.encode`` does it with NumPy; for graphs."""

from __future__ import annotations

import math

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.data.tables.columns import Column
from mtl_cli.data.tables.scaling import ROOM, SMALLEST
from mtl_cli.inference.export.ramps import Ramps, exact, normal_quantile

EMPTY, UNKNOWN = -1, -2
"""Codes of an empty text and of one that is no level."""
DAYS = "days since 1970-01-01, UTC"
FORMS = {
    "numeric": "number, NaN if it is missing",
    "boolean": "1 or 0, NaN if it is missing",
    "date": f"{DAYS}, with the time of day as a fraction; NaN if it is missing",
    "categorical": "text, empty if it is missing",
}
"""What a graph takes of each kind of column."""


class ColumnEncoder(nn.Module):
    """One column as inputs, (n,) to float64 of (n, inputs).

    Parameters
    ----------
    column : Column
    """

    fill: torch.Tensor
    center: torch.Tensor
    scale: torch.Tensor
    bounds: torch.Tensor
    offsets: torch.Tensor

    def __init__(self, column: Column) -> None:
        super().__init__()
        if column.kind == "date" and any(column.landmarks):
            what = f"the parts of the date '{column.name}' are scaled by their ranks, which rounding changes"
            hint = f"train with another scale, such as bounded, or dataset.features.exclude=[{column.name}]"
            raise UserError("dataset.features.scale", what, hint)
        self.kind, self.clip, self.has_missing, self.bounded = column.kind, column.clip, column.has_missing, False
        self.levels = len(column.levels) + column.has_other
        for name in ("fill", "center", "scale", "bounds"):
            values: list[float] | list[list[float]] = vars(column)[name]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64))
        self.register_buffer("offsets", torch.from_numpy(column.offsets))
        self.bounded = bool(column.bounds)
        self.ranks = [Ramps.through(own, _ranks(len(own))) if own else None for own in column.landmarks]
        self.ends = [(own[0], own[-1]) if own else None for own in column.landmarks]

    @property
    def example(self) -> torch.Tensor:
        """Two values of the column."""
        return torch.zeros(2, dtype=torch.int64 if self.kind == "categorical" else torch.float64)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return the inputs."""
        if self.kind == "categorical":
            block = (values.unsqueeze(1) == torch.arange(self.levels)).double()
            missing = values == EMPTY
        else:
            missing = values.isnan()
            numbers = date_parts(values) if self.kind == "date" else values.unsqueeze(1)
            block = self._scaled(torch.where(missing.unsqueeze(1), self.fill, numbers))
        if self.has_missing:
            block = torch.cat([block, missing.double().unsqueeze(1)], 1)
        return block - self.offsets

    def _scaled(self, numbers: torch.Tensor) -> torch.Tensor:
        if self.bounded:
            low, high = self.bounds
            inside = torch.minimum(torch.maximum(numbers, low), high)
            least = exact(torch.finfo(torch.float64).tiny)
            most = torch.maximum(ROOM * (inside - self.center).abs(), least)
            beyond = numbers - inside
            numbers = inside + beyond / (1 + (beyond / most).square()).sqrt()
        scaled = (numbers - self.center) / self.scale
        if self.ranks:
            return torch.cat([self._ranked(scaled, numbers, place) for place in range(len(self.ranks))], 1)
        return scaled / (1 + (scaled / 3).square()).sqrt() if self.clip else scaled

    def _ranked(self, scaled: torch.Tensor, numbers: torch.Tensor, place: int) -> torch.Tensor:
        """Return one number by its rank as ``to_normal`` does, (n, 1); as it is scaled if it never varied."""
        ranks, ends = self.ranks[place], self.ends[place]
        if ranks is None or ends is None:
            return scaled[:, place : place + 1]
        own = numbers[:, place]
        share = ranks(own) * (own - exact(SMALLEST) >= exact(ends[0])).double()
        share = torch.maximum(share, (own + exact(SMALLEST) > exact(ends[1])).double())
        limits = exact([SMALLEST, 1 - SMALLEST])
        return normal_quantile(torch.minimum(torch.maximum(share, limits[0]), limits[1])).unsqueeze(1)


def _ranks(count: int) -> list[float]:
    return torch.linspace(0, 1, count, dtype=torch.float64).tolist()


def date_parts(days: torch.Tensor) -> torch.Tensor:
    """Return what ``date_numbers`` does, (n, 5), of days since 1970.

    The day of the year is by Hinnant's ``civil_from_days`` (howardhinnant.github.io/date_algorithms.html), whose years
    begin in March.
    """
    whole = days.floor()
    shifted = whole + 719468
    era = (shifted / 146097).floor()
    of_era = shifted - era * 146097
    year = ((of_era - (of_era / 1460).floor() + (of_era / 36524).floor() - (of_era / 146096).floor()) / 365).floor()
    since_march = of_era - (365 * year + (year / 4).floor() - (year / 100).floor())
    next_year = since_march >= 306  # January and February
    civil = year + era * 400 + next_year.double()
    leap = _divides(civil, 4) - _divides(civil, 100) + _divides(civil, 400)
    of_year = torch.where(next_year, since_march - 305, since_march + 60 + leap)
    turn, week = 2 * math.pi * of_year / 365.25, 2 * math.pi * _remainder(whole + 3, 7) / 7
    return torch.stack([days, turn.sin(), turn.cos(), week.sin(), week.cos()], 1)


def _remainder(numbers: torch.Tensor, by: int) -> torch.Tensor:
    return numbers - by * (numbers / by).floor()


def _divides(years: torch.Tensor, by: int) -> torch.Tensor:
    return (_remainder(years, by) == 0).double()
