"""Dates in a column: how they are written, and the numbers they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.tasks.labels import refuse_values

if TYPE_CHECKING:
    import pandas as pd

ISO = "ISO8601"
DATE_FORMATS = [f"%{a}{s}%{b}{s}%Y" for s in "./-" for a, b in ("dm", "md")]
DATE_PARTS = ("days", "year_sin", "year_cos", "week_sin", "week_cos")
"""What a date becomes: days since 1970, and its place in the year and in the week as points on a circle."""


def date_format(values: pd.Series, where: str) -> str:
    """Return the form of a column's dates: ISO 8601, or day and month before the year.

    Raises
    ------
    UserError
        If they are numbers, no dates, or might be day first as well as month first.
    """
    import pandas as pd

    if pd.api.types.is_numeric_dtype(values.dtype) and values.notna().any():
        raise UserError(where, f"the column '{values.name}' holds numbers, not dates", "leave it out of features.date")
    present = values.dropna()
    if pd.api.types.is_datetime64_any_dtype(values.dtype) or not present.map(lambda v: isinstance(v, str)).all():
        return ISO
    text = present.str.strip()
    fitting = [
        form
        for form in (ISO, *DATE_FORMATS)
        if pd.to_datetime(text, errors="coerce", utc=True, format=form).notna().all()
    ]
    if len(fitting) > 1 and len(present):
        what = f"the dates of column '{values.name}', such as '{text.iloc[0]}', may be day first or month first"
        raise UserError(where, what, "write them as 2020-12-31")
    if not fitting:
        parsed = pd.to_datetime(text, errors="coerce", utc=True, format=ISO)
        refuse_values(parsed.isna().to_numpy(), text, where, "is not a date such as 2020-12-31 or 31.12.2020")
    return fitting[0]


def date_numbers(values: pd.Series, form: str, where: str) -> np.ndarray:
    """Return the ``DATE_PARTS`` of a column's dates as float64 of shape (n, 5), NaN where missing."""
    import pandas as pd

    dates = pd.to_datetime(values, errors="coerce", utc=True, format=form)
    refuse_values((dates.isna() & values.notna()).to_numpy(), values, where, f"is not a date of the form {form}")
    days = ((dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)).to_numpy("float64", na_value=np.nan)
    year = 2 * np.pi * dates.dt.day_of_year.to_numpy("float64", na_value=np.nan) / 365.25
    week = 2 * np.pi * dates.dt.day_of_week.to_numpy("float64", na_value=np.nan) / 7
    return np.column_stack([days, np.sin(year), np.cos(year), np.sin(week), np.cos(week)])
