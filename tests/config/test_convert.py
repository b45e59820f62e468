"""Conversion of YAML values: strict, and complete in what it reports."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from mtl_cli.config.convert import Converter, PositiveFloat, PositiveInt, Probability


@dataclass(frozen=True)
class Inner:
    patience: PositiveInt = 3


@dataclass(frozen=True)
class Example:
    name: str
    rate: PositiveFloat = 1.0
    share: Probability = 0.0
    mode: Literal["none", "batch"] = "none"
    widths: list[PositiveInt] = field(default_factory=list)
    pair: tuple[PositiveFloat, PositiveFloat] = (1.0, 2.0)
    by_task: dict[str, PositiveFloat] = field(default_factory=dict)
    inner: Inner | None = None
    size: int | float = 0
    auto: Literal["auto"] | PositiveFloat | None = None


def build(**values: Any) -> tuple[Any, list[str]]:
    converter = Converter()
    built = converter.build(Example, {"name": "x", **values}, "part")
    return built, [str(problem) for problem in converter.problems]


@pytest.mark.parametrize(
    ("values", "key", "expected"),
    [
        ({"rate": 1}, "rate", 1.0),
        ({"name": 2019}, "name", "2019"),
        ({"widths": 64}, "widths", [64]),
        ({"widths": [64, 32]}, "widths", [64, 32]),
        ({"pair": [1, 2]}, "pair", (1.0, 2.0)),
        ({"mode": None}, "mode", "none"),
        ({"by_task": {"a": 2}}, "by_task", {"a": 2.0}),
        ({"inner": {"patience": 5}}, "inner", Inner(5)),
        ({"inner": None}, "inner", None),
        ({"size": 0.2}, "size", 0.2),
        ({"size": 30}, "size", 30),
        ({"auto": "auto"}, "auto", "auto"),
        ({"auto": 3}, "auto", 3.0),
    ],
)
def test_right_values(values: dict[str, Any], key: str, expected: Any) -> None:
    built, problems = build(**values)
    assert problems == []
    assert getattr(built, key) == expected
    assert type(getattr(built, key)) is type(expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rate": "abc"}, "part.rate: must be a number, not 'abc'"),
        ({"rate": True}, "part.rate: must be a number, not True"),
        ({"rate": 0}, "part.rate: must be above 0, not 0"),
        ({"rate": float("nan")}, "part.rate: must be finite, not nan"),
        ({"rate": None}, "part.rate: must be a number, not null"),
        ({"rate": "???"}, "part.rate: needs a value; give part.rate=…"),
        ({"share": 1.0}, "part.share: must be below 1, not 1.0"),
        ({"mode": "bach"}, "part.mode: cannot be 'bach'; did you mean batch?"),
        ({"widths": [64, 0]}, "part.widths[1]: must be above 0, not 0"),
        ({"widths": [1.5]}, "part.widths[0]: must be a whole number, not 1.5"),
        ({"pair": [1]}, "part.pair: must be a list of 2, not [1]"),
        ({"by_task": 3}, "part.by_task: must be a mapping, not 3"),
        ({"inner": {"patence": 5}}, "part.inner.patence: unknown key; did you mean part.inner.patience?"),
        ({"size": "x"}, "part.size: must be a number, not 'x'"),
        ({"auto": -1}, "part.auto: must be above 0, not -1"),
        ({"nmae": 1}, "part.nmae: unknown key; did you mean part.name?"),
    ],
)
def test_wrong_values(values: dict[str, Any], message: str) -> None:
    built, problems = build(**values)
    assert built is None
    assert problems == [message]


def test_all_problems_are_noted() -> None:
    _, problems = build(rate=-1, share=2, widths=["a", "b"], typo=1)
    assert [problem.split(":")[0] for problem in problems] == [
        "part.typo", "part.rate", "part.share", "part.widths[0]", "part.widths[1]",
    ]  # fmt: skip


def test_a_missing_required_key_is_named() -> None:
    converter = Converter()
    assert converter.build(Example, {}, "") is None
    assert str(converter.problems[0]) == "name: needs a value; give name=…"
