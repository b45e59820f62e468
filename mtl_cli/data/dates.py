"""Dates in a column: how they are written, and the numbers they become."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
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
_CUT = re.compile(r"(?:[tT]|,?\s+)(?=\d{1,2}:\d\d)")
"""What stands between a date and a time of day."""
_TIME = re.compile(
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?P<fraction>[.,]\d+)?)?"
    r"(?:\s*(?P<half>[ap])\.?m\.?)?(?:\s*(?P<zone>z|utc|gmt|[+-]\d{2}(?::?\d{2})?))?",
    re.IGNORECASE,
)
_DATES = [
    re.compile(rf"(?:[a-z]{{3,9}},\s*)?{date}", re.IGNORECASE)
    for date in (
        r"(?P<a>\d{1,4})(?P<mark>[-/.])(?P<b>\d{1,2})(?P=mark)(?P<c>\d{1,4})",
        rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?[-/.\s]*{_NAME},?[-/\s]*(?P<year>\d{{4}}|\d{{2}})",
        rf"{_NAME}[-/\s]*(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?[-/\s]+(?P<year>\d{{4}})",
        rf"(?P<year>\d{{4}})[-/.\s]*{_NAME}[-/.\s]*(?P<day>\d{{1,2}})",
        r"(?P<year>(?:1[89]|20|21)\d\d)[-/](?P<month>0[1-9]|1[0-2])",
    )
]
_KEPT = 2**16
"""Days, and times of day, that are parsed once only."""


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
    date, time = _cut(text)
    day, clock = _day(date, order), _clock(time)
    if day is None or clock is None:
        return None
    try:
        return day + clock
    except OverflowError:  # the first day of the year 1, further east
        return None


def _cut(text: str) -> tuple[str, str]:
    """Return the date and the time of day, which may be empty, of a text."""
    date, *rest = _CUT.split(text.strip(), maxsplit=1)
    return date, "".join(rest)


@functools.lru_cache(maxsize=_KEPT)
def _day(text: str, order: str) -> datetime | None:
    found = next((found for pattern in _DATES if (found := pattern.fullmatch(text))), None)
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
        return datetime(_full(year), int(month), int(day))
    except ValueError:  # there is no 31 February
        return None


def _full(year: str) -> int:
    """Return a year of four digits; two digits are those from 1969 to 2068, as POSIX has it."""
    number = int(year)
    return number if len(year) == 4 else number + (1900 if number >= 69 else 2000)


@functools.lru_cache(maxsize=_KEPT)
def _clock(text: str) -> timedelta | None:
    """Return how far behind midnight in UTC a time of day is, with its zone; None for what is no time of day."""
    if not text:
        return timedelta()
    found = _TIME.fullmatch(text)
    if found is None:
        return None
    hour, minute, second = (int(found[name] or 0) for name in ("hour", "minute", "second"))
    if half := found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (half.lower() == "p")
    if hour > 23 or minute > 59 or second > 59:
        return None
    since = timedelta(hours=hour, minutes=minute, seconds=second)
    since += timedelta(microseconds=int((found["fraction"] or ".0")[1:].ljust(6, "0")[:6]))
    zone = found["zone"] or "z"
    if zone[0] not in "+-":
        return since
    digits = zone[1:].replace(":", "")
    east = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return since + east if zone[0] == "-" else since - east


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
    days = {text: date for text in counts if _clock((cut := _cut(text))[1]) is not None and (date := cut[0])}
    cells: dict[str, int] = {}
    for text, date in days.items():
        cells[date] = cells.get(date, 0) + counts[text]
    read = {order: {date: day for date in cells if (day := _day(date, order))} for order in ("", *orders)}
    found = {order: sum(cells[date] for date in dates) for order, dates in read.items()}
    best = max(orders, key=lambda order: found[order])
    if found[best] == found[""]:
        best = ""
    rivals = [
        order
        for order in orders
        if best and found[order] == found[best] and read[order] != read[best] and order != YEAR_FIRST
    ]
    others = {text: count for text, count in counts.items() if days.get(text) not in read[best]}
    return DateJudgement(best, found[best], others, rivals[0] if rivals else None)


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
