"""Numbers as people write them: every form comes back, and what may be two numbers is never guessed."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.data.numbers import FORMS, PLAIN, NumberForm, forms_of, judge_numbers, parse_number


def written(number: float, form: NumberForm) -> str:
    text = f"{number:,.2f}".replace(",", "T").replace(".", form.decimal)
    return text.replace("T", form.thousands)


@settings(derandomize=True, max_examples=200, deadline=None)
@given(st.integers(-(10**12), 10**12), st.sampled_from(FORMS))
def test_a_number_comes_back_from_any_form(cents: int, form: NumberForm) -> None:
    assert parse_number(written(cents / 100, form), form) == pytest.approx(cents / 100, abs=0.005)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(st.lists(st.floats(-1e9, 1e9, allow_nan=False), min_size=2, max_size=20), st.sampled_from(FORMS))
def test_the_form_of_a_column_is_found(numbers: list[float], form: NumberForm) -> None:
    texts = [written(number, form) for number in numbers]
    judged = judge_numbers(dict.fromkeys(texts, 1))
    assert judged.rival is None, "two places behind the mark leave nothing open"
    assert [parse_number(text, judged.form) for text in texts] == [parse_number(text, form) for text in texts]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1,234.56", "12"], [1234.56, 12]),
        (["1.234,56", "12"], [1234.56, 12]),
        (["1.234.567", "812"], [1234567, 812]),
        (["12 345,6", "7"], [12345.6, 7]),
        (["12\u00a0345", "1\u202f000"], [12345, 1000]),
        (["1'234.5", "3"], [1234.5, 3]),
        (["7,269", "812", "12,001"], [7269, 812, 12001]),
        (["0,125", "1,375"], [0.125, 1.375]),
        (["3,5", "-2,75", "1e3"], [3.5, -2.75, 1000]),
        (["\u22125", "+3"], [-5, 3]),
        (["$1,200", "$15.50", "$3", "$4", "$5", "$6"], [1200, 15.5, 3, 4, 5, 6]),
        (["12 kg", "13kg", "14 kg", "15 kg", "16 kg", "17 kg"], [12, 13, 14, 15, 16, 17]),
        (["1 %", "2 %", "3,5 %", "4 %", "5 %", "6 %"], [1, 2, 3.5, 4, 5, 6]),
    ],
)
def test_columns_of_numbers(texts: list[str], values: list[float]) -> None:
    judged = judge_numbers(dict.fromkeys(texts, 1))
    assert (judged.count, judged.others, judged.rival) == (len(texts), {}, None)
    assert [parse_number(text, judged.form) for text in texts] == values


def test_what_may_be_thousands_or_a_fraction_is_told_from_the_rest_of_the_table() -> None:
    texts = {"7,269": 1, "4,964": 1}
    assert judge_numbers(texts).rival is not None
    assert parse_number("7,269", judge_numbers(texts, comma=False).form) == 7269
    assert parse_number("7,269", judge_numbers(texts, comma=True).form) == 7.269
    assert judge_numbers({"7,269": 1}, forms_of(None, ",")).form == NumberForm(".", ",")
    assert parse_number("7,269", judge_numbers(texts, forms_of(",", None)).form) == 7.269
    assert judge_numbers({"1.234": 1, "2.500": 1}).form == PLAIN
    assert parse_number("1.234", judge_numbers({"1.234": 1, "2.500": 1}, comma=True).form) == 1234


@pytest.mark.parametrize("text", ["", "1,23,4", "12a", "1-2", "1.2.3", "P00", "Q1", "1 2", "12,34.5", "0x1f"])
def test_other_texts_are_no_numbers_in_any_form(text: str) -> None:
    assert all(math.isnan(parse_number(text, form)) for form in FORMS)


@pytest.mark.parametrize(
    "texts", [["12 kg", "13 g", "14 kg", "15 kg", "16 kg", "17 kg"], ["500 mg", "1000 mg"], [f"p{i}" for i in range(9)]]
)
def test_a_unit_is_taken_off_only_where_it_is_that_of_all(texts: list[str]) -> None:
    assert judge_numbers(dict.fromkeys(texts, 1)).count < len(texts)
