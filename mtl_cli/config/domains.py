"""What a search may vary: ``log(1e-4,1e-1)``, ``uniform(0,1)``, ``int(1,4)``, ``range(8,65,8)``, ``choice(a,b)``.

Hydra's words are taken where it has some: ``interval(0,0.5)`` is ``uniform(0,0.5)``, ``tag(log,interval(a,b))`` is
``log(a,b)``, ``int(…)`` around either gives whole numbers, and ``range`` leaves its end out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace

from mtl_cli.config.errors import UserError
from mtl_cli.config.values import as_written, is_sweep, values_of

DIGITS = 4
"""Significant ones of a number that is drawn: what is shown of it is what was trained with."""
WORDS = ("log", "uniform", "interval", "int", "tag", "range")
_CALL = re.compile(rf"\s*({'|'.join(WORDS)})\s*\((.*)\)\s*", re.DOTALL)
_NUMBER = r"\s*[-+.\de]+\s*"
_NO_WORD = re.compile(rf"\s*(\w+)\s*\({_NUMBER}(,{_NUMBER})+\)\s*")
"""A word of numbers, as a domain would be written that there is not: ``loguniform(1e-4,1e-1)``."""


@dataclass(frozen=True)
class Real:
    """Numbers between two bounds, both of them possible.

    Parameters
    ----------
    low, high : float
    log : bool
        Whether equal ratios, not equal differences, are equally likely.
    step : float, optional
        Between the numbers, if they are a grid.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def ends(self) -> tuple[str, str]:
        """The bounds, as written."""
        return f"{self.low:g}", f"{self.high:g}"

    def text(self, value: float) -> str:
        """Return a number as it is trained with."""
        return repr(min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high))

    def holds(self, value: object) -> bool:
        """Whether a value is one of them; on a grid only if it is a point of it."""
        if not isinstance(value, int | float) or isinstance(value, bool) or not self.low <= value <= self.high:
            return False
        return self.step is None or math.isclose(math.remainder(value - self.low, self.step), 0, abs_tol=1e-9)


@dataclass(frozen=True)
class Integer:
    """Whole numbers between two bounds, both of them possible."""

    low: int
    high: int
    log: bool = False
    step: int = 1

    @property
    def ends(self) -> tuple[str, str]:
        """The bounds, as written."""
        return str(self.low), str(self.high)

    def text(self, value: float) -> str:
        """Return a number as it is trained with."""
        return str(int(value))

    def holds(self, value: object) -> bool:
        """Whether a value is one of them."""
        whole = isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high
        return whole and (int(str(value)) - self.low) % self.step == 0


@dataclass(frozen=True)
class Choice:
    """Some values, each as text."""

    options: tuple[str, ...]

    @property
    def ends(self) -> tuple[str, ...]:
        """All of them."""
        return self.options


Domain = Real | Integer | Choice


def read_domain(text: str, names: list[str], group: bool = False) -> Domain | None:
    """Return what a key may be; None if the text is one value.

    Parameters
    ----------
    text : str
    names : list of str
        What ``glob`` chooses from.
    group : bool
        Whether the values are names of files of a config group.

    Raises
    ------
    UserError
        If it is a range without numbers in it, a choice without a choice, or written in no way that is known.
    """
    call = _CALL.fullmatch(text)
    if call is not None:
        return _numbers(text, call[1], _arguments(call[2]))
    if text in names or not is_sweep(text):
        if (unknown := _NO_WORD.fullmatch(text)) is not None:
            known = ["log(1e-4,1e-1)", "uniform(0,0.5)", "int(1,4)", "range(16,129,16)", "choice(a,b)"]
            raise UserError(text, f"there is no '{unknown[1]}'", f"there are {', '.join(known)}")
        return None
    values = values_of(text, names)
    options = [as_written(value) for value in values] if group else values
    if twice := next((value for i, value in enumerate(options) if value in options[:i]), None):
        raise UserError(text, f"has {twice} twice")
    if len(options) < 2:
        raise UserError(text, "leaves nothing to choose", f"write {options[0]} alone, or add another")
    return Choice(tuple(options))


def _numbers(text: str, name: str, arguments: list[str]) -> Domain:
    if name == "tag":
        if len(arguments) != 2 or arguments[0] != "log":
            raise UserError(text, "has no meaning", "tag(log,interval(1e-4,1e-1)), or log(1e-4,1e-1)")
        return _logarithmic(text, _inner(text, arguments[1]))
    if name == "int" and len(arguments) == 1:
        return _whole(text, _inner(text, arguments[0]))
    numbers = [_number(text, argument) for argument in arguments]
    if name == "range":
        return _range(text, numbers)
    if len(numbers) != 2:
        raise UserError(
            text, "takes two numbers, the least and the largest", f"{name}({'1,4' if name == 'int' else '0.1,0.5'})"
        )
    low, high = numbers
    if not low < high:
        raise UserError(text, f"has no numbers: {low:g} is not below {high:g}")
    found = Real(float(low), float(high))
    if name == "log":
        return _logarithmic(text, found)
    return _whole(text, found) if name == "int" else found


def _inner(text: str, argument: str) -> Real | Integer:
    found = read_domain(argument, [])
    if not isinstance(found, Real | Integer):
        raise UserError(text, f"has no range inside: '{argument}'", "int(log(8,256))")
    return found


def _logarithmic(text: str, found: Real | Integer) -> Domain:
    if found.low <= 0:
        raise UserError(
            text, f"begins at {found.low:g}: a logarithmic range has bounds above 0", "uniform(0,1) may begin at 0"
        )
    return replace(found, log=True)


def _whole(text: str, found: Real | Integer) -> Integer:
    if found.low != int(found.low) or found.high != int(found.high):
        raise UserError(text, "has bounds that are not whole numbers", "int(1,4)")
    return Integer(int(found.low), int(found.high), found.log)


def _range(text: str, numbers: list[int | float]) -> Domain:
    """Return what Hydra's ``range(start,stop,step)`` lists: the end is not in it."""
    if not 1 <= len(numbers) <= 3:
        raise UserError(text, "takes a start, an end and a step", "range(1,5) or range(16,129,16)")
    start, stop = (0, numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    step = numbers[2] if len(numbers) == 3 else 1
    count = math.ceil((stop - start) / step - 1e-9) if step > 0 else 0
    if count < 2:
        raise UserError(text, f"has {'no numbers' if count < 1 else 'one number only'}: its end is not in it")
    last = start + (count - 1) * step
    if all(isinstance(number, int) for number in (start, stop, step)):
        return Integer(int(start), int(last), step=int(step))
    return Real(float(start), float(f"{last:.12g}"), step=float(step))


def _number(text: str, argument: str) -> int | float:
    try:
        return int(argument)
    except ValueError:
        pass
    try:
        found = float(argument)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise UserError(text, f"'{argument}' is not a number", "such as log(1e-4,1e-1), uniform(0,0.5) or int(1,4)")
    return found


def _arguments(text: str) -> list[str]:
    """Cut at the commas outside brackets."""
    found, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [part.strip() for part in found]
