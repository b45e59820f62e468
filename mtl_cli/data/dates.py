"""Dates in a column: how they are written, and the numbers they become."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.tasks.labels import refuse_values

if TYPE_CHECKING:
    import pandas as pd

YEAR_FIRST, DAY_FIRST, MONTH_FIRST = "ymd", "dmy", "mdy"
ORDERS = (DAY_FIRST, MONTH_FIRST, YEAR_FIRST)
"""In what order day, month and year stand. A year of four digits is known by itself; so is a month that is a name."""
NAMES = {YEAR_FIRST: "year", DAY_FIRST: "day", MONTH_FIRST: "month"}
DATE_PARTS = ("days", "year_sin", "year_cos", "week_sin", "week_cos")
"""What a date becomes: days since 1970, and its place in the year and in the week as points on a circle."""
FORMS = "2020-12-31, 2020-12-31 18:30, 31.12.2020, 12/31/20 or 31 Dec 2020"
_DAY = 24 * 60 * 60 * 1_000_000
"""Microseconds of a day."""
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_NAME = r"(?P<month>(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\.?"
_TIME = (
    r"(?:(?:t|,?\s+)(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>[.,]\d+)?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?(?:\s*(?P<zone>z|utc|gmt|[+-]\d{2}(?::?\d{2})?))?)?"
)
_DATES = [
    re.compile(rf"(?:[a-z]{{3,9}},\s*)?{date}{_TIME}", re.IGNORECASE)
    for date in (
        r"(?P<a>\d{1,4})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-/.\s]*{_NAME},?[-/\s]*(?P<year>\d{{4}}|\d{{2}})",
        rf"{_NAME}[-/\s]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?[-/\s]+(?P<year>\d{{4}})",
        rf"(?P<year>\d{{4}})[-/.\s]*{_NAME}[-/.\s]*(?P<day>\d{{1,2}})",
        r"(?P<year>(?:1[89]|20|21)\d\d)[-/](?P<month>0[1-9]|1[0-2])",
    )
]
_BY_ORDER = re.compile(r"\s*(?:[A-Za-z]{3,9},\s*)?\d{1,2}[-/.]\d{1,2}[-/.]")


@dataclass(frozen=True)
class DateJudgement:
    """What the texts of a column are, taken as dates.

    Parameters
    ----------
    order : str
        Of ``ORDERS``, the one in which most are dates; empty if none needs one.
    count : int
        The cells that are dates in that order.
    others : dict of str to int
        The texts that are none, and how many cells hold each.
    rival : str, optional
        Another order in which as many are dates, but other ones.
    """

    order: str
    count: int
    others: dict[str, int] = field(default_factory=dict)
    rival: str | None = None


def parse_date(text: str, order: str = "") -> datetime | None:
    """Return the instant that a text writes, in UTC but without a zone, or None. Where it names no zone it is UTC's.

    ``order`` is one of ``ORDERS``; without it, a text that needs one is None.
    """
    found = _match(text.strip())
    if found is None:
        return None
    parts = found.groupdict()
    if "mark" in parts:
        a, b, c = parts["a"], parts["b"], parts["c"]
        if len(a) == 4:
            year, month, day = a, b, c
        elif order:
            year, month, day = {YEAR_FIRST: (a, b, c), DAY_FIRST: (c, b, a), MONTH_FIRST: (c, a, b)}[order]
        else:
            return None
        if len(year) not in (2, 4) or max(len(month), len(day)) > 2:
            return None
    else:
        year, month, day = parts["year"], parts["month"], parts.get("day") or "1"
        month = month if month.isdecimal() else str(_MONTHS.index(month[:3].lower()) + 1)
    try:
        return _instant(_full(year), int(month), int(day), parts)
    except (ValueError, OverflowError):  # there is no 31 February
        return None


def _match(text: str) -> re.Match[str] | None:
    return next((found for pattern in _DATES if (found := pattern.fullmatch(text))), None)


def _full(year: str) -> int:
    """Return a year of four digits; two digits are those from 1969 to 2068, as POSIX has it."""
    number = int(year)
    return number if len(year) == 4 else number + (1900 if number >= 69 else 2000)


def _instant(year: int, month: int, day: int, parts: Mapping[str, str | None]) -> datetime:
    hour, zone = int(parts["hour"] or 0), (parts["zone"] or "z").lower()
    if half := parts["half"]:
        if not 1 <= hour <= 12:
            raise ValueError("not an hour of half a day")
        hour = hour % 12 + 12 * (half.lower() == "p")
    fraction = int((parts["fraction"] or ".0")[1:].ljust(6, "0")[:6])
    offset = timedelta()
    if zone[0] in "+-":
        digits = zone[1:].replace(":", "")
        offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0)) * (-1 if zone[0] == "-" else 1)
    made = datetime(
        year, month, day, hour, int(parts["minute"] or 0), int(parts["second"] or 0), fraction, timezone(offset)
    )
    return made.astimezone(UTC).replace(tzinfo=None)


def judge_dates(counts: Mapping[str, int], day_first: bool | None = None) -> DateJudgement:
    """Tell in what order the texts of a column are dates, and which are none.

    Parameters
    ----------
    counts : mapping of str to int
        The different texts, and how many cells hold each.
    day_first : bool, optional
        What the user says of dates that might be day first as well as month first.
    """
    orders = ORDERS if day_first is None else (DAY_FIRST if day_first else MONTH_FIRST, YEAR_FIRST)
    dates = {orders[0]: {text: parse_date(text, orders[0]) for text in counts}}
    open_texts = [text for text in counts if _BY_ORDER.match(text)]
    if not any(parse_date(text, order) for text in open_texts for order in orders):
        others = {text: counts[text] for text, date in dates[orders[0]].items() if date is None}
        return DateJudgement("", sum(counts.values()) - sum(others.values()), others)
    for order in orders[1:]:
        dates[order] = dates[orders[0]] | {text: parse_date(text, order) for text in open_texts}
    found = {
        order: sum(counts[text] for text, date in read.items() if date is not None) for order, read in dates.items()
    }
    most = max(found.values())
    tied = [order for order in orders if found[order] == most]
    rivals = [order for order in tied[1:] if order != YEAR_FIRST and dates[order] != dates[tied[0]]]
    others = {text: counts[text] for text, date in dates[tied[0]].items() if date is None}
    return DateJudgement(tied[0], most, others, rivals[0] if rivals else None)


def text_dates(texts: pd.Series, order: str) -> pd.Series:
    """Return the instants that the texts of a column write, in UTC; missing where they write none."""
    import pandas as pd

    parse = functools.partial(parse_date, order=order)
    codes, different = pd.factorize(texts)
    found = np.array([*(parse(text) if isinstance(text, str) else None for text in different), None], "datetime64[us]")
    return pd.Series(found[codes], index=texts.index, name=texts.name).dt.tz_localize("UTC")


def as_dates(values: pd.Series, where: str) -> pd.Series:
    """Return a column as instants in UTC, missing where it has no value.

    Raises
    ------
    UserError
        If they are numbers, no dates, or might be day first as well as month first.
    """
    import pandas as pd

    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return pd.to_datetime(values, utc=True)
    if pd.api.types.is_numeric_dtype(values.dtype) and values.notna().any():
        raise UserError(where, f"the column '{values.name}' holds numbers, not dates", "leave it out of features.date")
    text = values.astype("object").map(str, na_action="ignore")
    judged = judge_dates({str(value): int(count) for value, count in text.value_counts().items()})
    if judged.rival is not None:
        raise UserError(where, ambiguous(str(values.name), text.dropna().iloc[0]), "write them as 2020-12-31")
    found = text_dates(text, judged.order)
    refuse_values((found.isna() & values.notna()).to_numpy(), values, where, "is not a date", f"such as {FORMS}")
    return found


def ambiguous(name: str, example: str) -> str:
    """Return what is wrong with a column whose dates might be day first as well as month first."""
    return f"the dates of column '{name}', such as '{example}', may be day first or month first"


def date_numbers(values: pd.Series, where: str) -> np.ndarray:
    """Return the ``DATE_PARTS`` of a column's dates as float64 of shape (n, 5), NaN where missing."""
    dates = as_dates(values, where)
    moments = dates.dt.tz_localize(None).to_numpy("datetime64[us]")
    days = np.where(np.isnat(moments), np.nan, moments.astype("int64") / _DAY)
    year = 2 * np.pi * dates.dt.day_of_year.to_numpy("float64", na_value=np.nan) / 365.25
    week = 2 * np.pi * dates.dt.day_of_week.to_numpy("float64", na_value=np.nan) / 7
    return np.column_stack([days, np.sin(year), np.cos(year), np.sin(week), np.cos(week)])
