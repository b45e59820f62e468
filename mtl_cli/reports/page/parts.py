"""What a page consists of: sections of paragraphs, facts, tables, figures, commands and cautions.

All text is plain, and may hold anything: column names, labels and configs are written by strangers. It is escaped where
the page is written. Only ``Drawn.svg`` is markup, which ``svg.py`` makes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from markupsafe import Markup

LONG = 28
"""Characters of a cell that is a sentence."""


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Parameters
    ----------
    text : str
    key : float or str, optional
        What rows are sorted by; the text, by default. NaN comes last.
    """

    text: str
    key: float | str | None = None

    @property
    def sorted_by(self) -> str:
        """What the page's script compares: a number, or a text; nothing is last."""
        if isinstance(self.key, float | int):
            return repr(float(self.key)) if math.isfinite(self.key) else ""
        return self.text if self.key is None else self.key


@dataclass(frozen=True)
class Table:
    """A table whose columns the reader may sort by.

    Parameters
    ----------
    caption : str
        What it shows.
    columns : sequence of str
    rows : sequence of sequence of Cell
        The first cell of a row is its heading.
    numbers : frozenset of int
        The columns that are aligned to the right.
    sortable : bool
        Rows that belong to the one above them are not.
    inner : frozenset of int
        Rows that belong to the one above.
    """

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    numbers: frozenset[int] = frozenset()
    sortable: bool = True
    inner: frozenset[int] = frozenset()

    @property
    def long(self) -> frozenset[int]:
        """The columns of sentences rather than words, which are given room."""
        every = range(len(self.columns))
        return frozenset(i for i in every if any(len(row[i].text) > LONG for row in self.rows))


@dataclass(frozen=True)
class Drawn:
    """A figure as SVG.

    Parameters
    ----------
    svg : Markup
    caption : str
    width : float
        As wide as it is drawn, in pixels.
    """

    kind: ClassVar[str] = "drawn"
    svg: Markup
    caption: str
    width: float


@dataclass(frozen=True)
class Picture:
    """A figure that was drawn before, as the address of an image that holds all of it (``data:``)."""

    kind: ClassVar[str] = "picture"
    source: str
    caption: str


@dataclass(frozen=True)
class Figures:
    """Figures beside one another, as far as there is room."""

    kind: ClassVar[str] = "figures"
    shown: Sequence[Drawn | Picture]


@dataclass(frozen=True)
class Facts:
    """Terms, and what there is to say of each."""

    kind: ClassVar[str] = "facts"
    rows: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Lines:
    """Sentences, each for itself."""

    kind: ClassVar[str] = "lines"
    lines: Sequence[str]


@dataclass(frozen=True)
class Code:
    """Commands, or a file, as it is to be typed or read; ``about`` says what it does."""

    kind: ClassVar[str] = "code"
    about: str
    text: str


@dataclass(frozen=True)
class Details:
    """Parts that are shown when the reader opens them."""

    kind: ClassVar[str] = "details"
    summary: str
    parts: Sequence[Part]


@dataclass(frozen=True)
class Caution:
    """Something to be warned of.

    Parameters
    ----------
    title : str
    seen : str
        The numbers that it rests on.
    remedy : str
        What to do.
    """

    title: str
    seen: str
    remedy: str


@dataclass(frozen=True)
class Cautions:
    """What to be warned of, the gravest first; or that nothing was found."""

    kind: ClassVar[str] = "cautions"
    found: Sequence[Caution]


Part = Table | Drawn | Picture | Figures | Facts | Lines | Code | Details | Cautions


@dataclass(frozen=True)
class Section:
    """A part of a page with a heading."""

    title: str
    parts: Sequence[Part]

    @property
    def anchor(self) -> str:
        """What links within the page lead to."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())


@dataclass(frozen=True)
class Page:
    """A report.

    Parameters
    ----------
    title, subtitle : str
    sections : list of Section
        Those without parts are left out.
    """

    title: str
    subtitle: str
    sections: list[Section] = field(default_factory=list)
