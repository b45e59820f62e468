"""Dates as people write them: every form comes back, and what may be two dates is never guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.errors import UserError
from mtl_cli.data.dates import DAY_FIRST, MONTH_FIRST, YEAR_FIRST, as_dates, date_numbers, judge_dates, parse_date

FORMS = {
    "%Y-%m-%d": "", "%Y/%m/%d": "", "%Y.%m.%d": "", "%d.%m.%Y": DAY_FIRST, "%d/%m/%Y": DAY_FIRST,
    "%m/%d/%Y": MONTH_FIRST,
    "%d-%m-%y": DAY_FIRST, "%m/%d/%y": MONTH_FIRST, "%d %b %Y": "", "%d-%b-%y": "", "%B %d, %Y": "", "%Y %b %d": "",
    "%a, %d %b %Y": "",
}  # fmt: skip
TIMES = ["", " %H:%M", "T%H:%M:%S", " %I:%M %p", " %H:%M:%S.%f"]


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.datetimes(datetime(1970, 1, 1), datetime(2068, 12, 31)),
    st.sampled_from(list(FORMS)),
    st.sampled_from(TIMES),
    st.one_of(st.none(), st.integers(-12 * 4, 14 * 4)),
)
def test_an_instant_comes_back_from_any_form(moment: datetime, date: str, time: str, quarters: int | None) -> None:
    form = date + time
    expected = datetime.strptime(moment.strftime(form), form)
    text, offset = expected.strftime(form), timedelta()
    if time and quarters is not None:
        offset = timedelta(minutes=15 * quarters)
        text += " " * (time == " %I:%M %p") + expected.replace(tzinfo=timezone(offset)).strftime("%z")
    assert parse_date(text, FORMS[date]) == expected - offset


@pytest.mark.parametrize(
    ("texts", "order", "last"),
    [
        (["05/01/22", "13/01/22"], DAY_FIRST, "2022-01-13"),
        (["05/01/22", "01/13/22"], MONTH_FIRST, "2022-01-13"),
        (["2022/01/05", "2022/1/13"], "", "2022-01-13"),
        (["97/01/05", "98/12/31"], YEAR_FIRST, "1998-12-31"),
        (["1/13/2022 3:15 PM", "2/1/2022 12:05 am"], MONTH_FIRST, "2022-02-01 00:05"),
        (["31.12.2020 18:30", "1.1.2021"], DAY_FIRST, "2021-01-01"),
        (["2022-01-05T00:00:00Z", "2022-01-05T01:30:00+02:00"], "", "2022-01-04 23:30"),
        (["5th March 2021", "March 6, 2021"], "", "2021-03-06"),
        (["2022-01", "2022-12"], "", "2022-12-01"),
        (["1-Sept-21", "30-Jun-69"], "", "1969-06-30"),
        (["9999-12-31", "0001-01-01"], "", "0001-01-01"),
    ],
)
def test_the_order_of_a_column_is_found(texts: list[str], order: str, last: str) -> None:
    judged = judge_dates(dict.fromkeys(texts, 1))
    assert (judged.order, judged.count, judged.rival) == (order, len(texts), None)
    assert parse_date(texts[-1], judged.order) == datetime.fromisoformat(last).replace(tzinfo=None)


def test_what_may_be_two_dates_is_asked() -> None:
    texts = {"01/02/2024": 1, "03/04/2024": 1}
    assert judge_dates(texts).rival == MONTH_FIRST
    assert judge_dates({"03/03/2024": 1}).rival is None, "both are the third of March"
    assert judge_dates(texts, day_first=True).order == DAY_FIRST
    assert judge_dates(texts, day_first=False).order == MONTH_FIRST
    with pytest.raises(
        UserError, match="such as '01/02/2024', may be day first or month first; write them as 2020-12-31"
    ):
        as_dates(pd.Series(list(texts), name="when"), "t.csv")


@pytest.mark.parametrize(
    "text", ["31.02.2020", "2022-13-01", "1.2.3", "12:30", "2022", "20220105", "May", "13/13/2020"]
)
def test_other_texts_are_no_dates(text: str) -> None:
    assert judge_dates({text: 1}).count == 0


def test_a_text_that_is_no_date_is_named() -> None:
    with pytest.raises(UserError, match="'soon' in row 2 of column 'when' is not a date; such as 2020-12-31"):
        as_dates(pd.Series(["2020-01-01", "soon"], name="when"), "t.csv")


def test_dates_as_numbers() -> None:
    found = date_numbers(pd.Series(["1970-01-02", "9999-12-31", None, "1969-12-31T12:00"], name="when"), "t")
    days = [1, (datetime(9999, 12, 31, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days, np.nan, -0.5]
    np.testing.assert_array_equal(found[:, 0], days)
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(found[0, 1:3], [np.sin(2 * np.pi * 2 / 365.25), np.cos(2 * np.pi * 2 / 365.25)])
