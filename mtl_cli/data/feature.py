"""A feature of the data as a person means it: a column, a gene, a part of an image, and the inputs that it becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

MOST_ALONG = 8
"""Parts that an image's height or width is cut into."""
MOST_POSITIONS = 20
"""Parts that a sequence is cut into."""


@dataclass(frozen=True)
class Feature:
    """Inputs that belong together, such as the levels of one category.

    Parameters
    ----------
    name : str
    kind : str
        "numeric", "categorical", "gene", "pixels", "positions" …
    encoding : str
        In words, how it becomes inputs.
    inputs : sequence of int
        Their numbers: of the features, of the values of an image laid flat, or of the positions in a sequence.
    marks : int
        How many of them, the last ones, say no more than that a value is missing.
    dataset : str
        Whose it is, where several are joined.
    """

    name: str
    kind: str
    encoding: str = ""
    inputs: Sequence[int] = field(default_factory=list, repr=False)
    marks: int = 0
    dataset: str = ""


@dataclass(frozen=True)
class Field:
    """What a person gives of a row in place of a cell: a column, and the values that it usually has.

    Parameters
    ----------
    name, kind : str
        As those of a ``Feature``; "id" of what names rows.
    usual : str, float or bool, optional
        The median, or mean, or the most frequent level of training. A date is as 2020-12-31.
    low, high : str or float, optional
        The least and the largest of training.
    levels : list of str
        Of a category.
    others : bool
        Whether another level is read as one of its own, that of rare ones.
    empty : bool
        Whether it may have no value.
    longest : int, optional
        The most letters, or words, of a text.
    """

    name: str
    kind: str
    usual: str | float | bool | None = None
    low: str | float | None = None
    high: str | float | None = None
    levels: list[str] = field(default_factory=list)
    others: bool = False
    empty: bool = True
    longest: int | None = None


def image_feature(shape: Sequence[int], center: Sequence[float], scale: Sequence[float]) -> Feature:
    """Return an image as one feature: bytes of (channels, height, width), scaled by channel."""
    size = " × ".join(map(str, shape))
    scaled = ", ".join(f"(byte − {c:.4g}) / {s:.4g}" for c, s in zip(center, scale, strict=True))
    return Feature("image", "image", f"{size}, {scaled}", range(math.prod(shape)))


def image_parts(shape: tuple[int, ...]) -> list[Feature]:
    """Cut images of (channels, height, width) into at most ``MOST_ALONG`` × ``MOST_ALONG`` parts of equal size."""
    channels, height, width = shape
    tall, wide = -(-height // MOST_ALONG), -(-width // MOST_ALONG)
    found = []
    for top in range(0, height, tall):
        for left in range(0, width, wide):
            rows, columns = range(top, min(top + tall, height)), range(left, min(left + wide, width))
            inputs = [(c * height + y) * width + x for c in range(channels) for y in rows for x in columns]
            found.append(Feature(f"y {_span(rows)}, x {_span(columns)}", "pixels", "", inputs))
    return found


def sequence_parts(longest: int) -> list[Feature]:
    """Cut sequences of at most so many tokens into at most ``MOST_POSITIONS`` parts; positions count from 1."""
    long = max(-(-longest // MOST_POSITIONS), 1)
    spans = [range(start, min(start + long, longest)) for start in range(0, longest, long)]
    return [Feature(f"position {_span(range(s.start + 1, s.stop + 1))}", "positions", "", s) for s in spans]


def _span(numbers: range) -> str:
    return str(numbers.start) if len(numbers) == 1 else f"{numbers.start}–{numbers.stop - 1}"
