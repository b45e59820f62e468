"""Numbers as people write them: decimal commas, thousands separators, a unit beside each of them."""

from __future__ import annotations

import functools
import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

CURRENCY = "$€£¥₹"
_UNIT = re.compile(
    rf"(?P<sign>[+-]?)(?P<before>[{CURRENCY}]|(?:USD|EUR|GBP|CHF|JPY)(?=[ \d]))? ?"
    rf"(?P<number>[+-]?[\d.,][\d.,' ]*(?:[eE][+-]?\d+)?)"
    rf"(?P<after> ?[{CURRENCY}%‰]| ?°[CFK]?| [A-Za-zµμ/²³·]{{1,12}}|[A-Za-zµμ/²³·]{{2,12}})?"
)
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-", "’": "'"})
_FEWEST = 6
"""Different numbers that a unit must stand beside, so that `500 mg` and `1000 mg` stay two categories."""
_FEW = 1000
"""Different texts that tell which forms to look at in all of them."""


@dataclass(frozen=True)
class NumberForm:
    """How the numbers of a column are written.

    Parameters
    ----------
    decimal : str
        The mark before the fraction.
    thousands : str
        What stands, or may stand, between groups of three digits.
    unit : str
        What stands beside every number, such as ``kg`` or ``$``.
    """

    decimal: str = "."
    thousands: str = ""
    unit: str = ""

    @property
    def marks(self) -> list[str]:
        """What is to be said of numbers in this form: nothing if it is the plain one."""
        said = []
        if self.decimal != ".":
            thousands = f" and '{self.thousands}' between thousands" if self.thousands else ""
            said.append(f"with the decimal mark '{self.decimal}'{thousands}")
        elif self.thousands:
            said.append(f"with '{self.thousands}' between thousands")
        return said + [f"without their unit '{self.unit}'"] * bool(self.unit)


PLAIN = NumberForm()
FORMS = (PLAIN, *(NumberForm(".", mark) for mark in ", '"), *(NumberForm(",", mark) for mark in ". '"))


@dataclass(frozen=True)
class NumberJudgement:
    """What the texts of a column are, taken as numbers.

    Parameters
    ----------
    form : NumberForm
        The one in which most are numbers.
    count : int
        The cells that are numbers in that form.
    others : dict of str to int
        The texts that are none, and how many cells hold each.
    rival : NumberForm, optional
        Another form in which as many are numbers, but other ones: `7,269` is 7269, or a little more than 7.
    """

    form: NumberForm
    count: int
    others: dict[str, int] = field(default_factory=dict)
    rival: NumberForm | None = None


@functools.cache
def _pattern(form: NumberForm) -> re.Pattern[str]:
    whole, decimal = r"\d+", re.escape(form.decimal)
    if form.thousands:
        whole = rf"(?:[1-9]\d{{0,2}}(?:{re.escape(form.thousands)}\d{{3}})+|\d+)"
    return re.compile(
        rf"[+-]?(?:(?:{whole}(?:{decimal}\d*)?|{decimal}\d+)(?:[eE][+-]?\d+)?|inf|infinity)", re.IGNORECASE
    )


def parse_number(text: str, form: NumberForm = PLAIN) -> float:
    """Return the number that a text writes in a form, NaN if it writes none."""
    text = text.translate(_SPACES).strip()
    if form.unit:
        text, unit = without_unit(text)
        if unit not in ("", form.unit):
            return math.nan
    if not _pattern(form).fullmatch(text):
        return math.nan
    return float(text.replace(form.thousands, "").replace(form.decimal, ".") if form != PLAIN else text)


def without_unit(text: str) -> tuple[str, str]:
    """Return a text without the unit beside its number, and the unit; the text as it is if it is not of that form."""
    found = _UNIT.fullmatch(text)
    if found is None or not (found["before"] or found["after"]) or (found["before"] and found["after"]):
        return text, ""
    return found["sign"] + found["number"].strip(), (found["before"] or found["after"]).strip()


def judge_numbers(
    counts: Mapping[str, int], forms: Sequence[NumberForm] = FORMS, comma: bool | None = None
) -> NumberJudgement:
    """Tell in what form the texts of a column are numbers, and which are none.

    Parameters
    ----------
    counts : mapping of str to int
        The different texts, and how many cells hold each.
    forms : sequence of NumberForm
        Those to choose from.
    comma : bool, optional
        Whether the rest of the table writes decimal commas, where that is known.
    """
    plain = {text: text.translate(_SPACES).strip() for text in counts}
    unit = _common_unit(list(itertools.islice(plain.values(), _FEW)))
    if unit:
        plain = {text: without_unit(short)[0] for text, short in plain.items()}
    if len(forms) > 1:  # the forms that a few of the texts leave are tried on all
        few = dict(itertools.islice(plain.items(), _FEW))
        tried = {form: _count(few, counts, form) for form in forms}
        if not any(tried.values()):
            return NumberJudgement(forms[0], 0, dict(counts))
        forms = [form for form in forms if tried[form] == max(tried.values())]
    found = {form: _count(plain, counts, form) for form in forms}
    most = max(found.values())
    tied = [form for form in forms if found[form] == most]
    texts = [short for short in plain.values() if any(_pattern(form).fullmatch(short) for form in tied)]
    form, rival = _choose(tied, texts, comma)
    others = {text: counts[text] for text, short in plain.items() if not _pattern(form).fullmatch(short)}
    rival = None if rival is None else replace(rival, unit=unit)
    return NumberJudgement(replace(form, unit=unit), most, others, rival)


def _count(plain: Mapping[str, str], counts: Mapping[str, int], form: NumberForm) -> int:
    pattern = _pattern(form)
    return sum(counts[text] for text, short in plain.items() if pattern.fullmatch(short))


def _choose(
    tied: Sequence[NumberForm], texts: Sequence[str], comma: bool | None
) -> tuple[NumberForm, NumberForm | None]:
    """Return one of the forms that fit alike, and the one that fits as well but gives other numbers."""
    points = [form for form in tied if form.decimal == "."]
    commas = [form for form in tied if form.decimal == ","]
    if not points or not commas:
        return tied[0], None
    bare = [int(text) for text in texts if text.isdecimal()]
    if not any("," in text for text in texts):  # `1.234` is a fraction unless the rest of the table says otherwise
        if not comma or not any("." in text for text in texts) or max(bare, default=0) >= 1000:
            return points[0], None
        return commas[0], None
    if comma is None and any(bare) and max(bare) < 1000:  # no number of thousands is without a mark
        comma = False
    if comma is None:
        return points[0], commas[0]
    return (commas if comma else points)[0], None


def _common_unit(texts: Sequence[str]) -> str:
    """Return the unit that stands beside most of the numbers, if it is the only one."""
    split = [without_unit(text) for text in texts]
    units = {unit for _, unit in split if unit}
    with_unit = {number for number, unit in split if unit}
    return units.pop() if len(units) == 1 and len(with_unit) >= max(_FEWEST, len(split) / 2) else ""


def forms_of(decimal: str | None, thousands: str | None) -> tuple[NumberForm, ...]:
    """Return the forms that the user's own marks leave."""
    if thousands is not None:
        decimals = [decimal] if decimal is not None else [mark for mark in ".," if mark != thousands]
        return (*([PLAIN] if decimal in (None, ".") else []), *(NumberForm(mark, thousands) for mark in decimals))
    chosen = tuple(form for form in FORMS if decimal in (None, form.decimal))
    return chosen or (NumberForm(str(decimal)),)
