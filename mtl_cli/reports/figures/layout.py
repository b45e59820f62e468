"""How figures are laid out: sizes in inches, small multiples, colours, names that are cut, and a legend.

The colours are those of Okabe & Ito (2008, https://jfly.uni-koeln.de/color/), which people who see red and green alike
can tell apart; their yellow is left out, as it is hardly seen on white.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any

Axes = Any
"""A matplotlib Axes; text on it is drawn as written, not as mathematics."""

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILION, BLACK, GREY = "#56B4E9", "#D55E00", "#000000", "0.6"
PALETTE = (BLUE, VERMILION, GREEN, PINK, ORANGE, SKY, BLACK)
"""In the order in which lines take them."""

MOST_PANELS = 48
"""Of more tasks, some are shown."""
STEPS = (1, 2, 5, 10)
"""Between ticks, times a power of ten."""
MARGINS = (0.75, 0.2, 0.55, 0.55)
"""Left, right, below and above what is drawn, in inches."""
SPACED = 100
"""Values whose largest is so many times the smallest are shown on a logarithmic axis."""


def import_matplotlib() -> Any:
    """Return matplotlib, also where ``MPLBACKEND`` names a backend that is not installed: none is used here."""
    try:
        import matplotlib
    except ValueError:
        asked = os.environ.pop("MPLBACKEND", None)
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]  # imported by half
        try:
            import matplotlib
        finally:
            if asked is not None:
                os.environ["MPLBACKEND"] = asked
    return matplotlib


def settings() -> dict[Any, Any]:
    """Return matplotlib's settings for every figure; a fixed ``titley`` saves to look for a place."""
    from cycler import cycler

    return {
        "text.parse_math": False, "axes.prop_cycle": cycler(color=PALETTE), "font.size": 8, "axes.titlesize": 9,
        "axes.titley": 1.0, "axes.labelsize": 8, "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.fontsize": 7.5,
        "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
        "xtick.major.width": 0.6, "ytick.major.width": 0.6, "lines.linewidth": 1.3, "svg.hashsalt": "mtl",
    }  # fmt: skip


def resize(axes: Axes, width: float, height: float) -> None:
    """Make axes that are alone in their figure so large, in inches, with room for their texts around them."""
    left, right, below, above = MARGINS
    whole = left + width + right, below + height + above
    axes.figure.set_size_inches(*whole)
    axes.set_position((left / whole[0], below / whole[1], width / whole[0], height / whole[1]))


def panels(axes: Axes, titles: Sequence[str], title: str, xlabel: str) -> list[Axes]:
    """Put small multiples in the place of axes, one under each of ``titles``, and return them.

    Parameters
    ----------
    axes : Axes
        Alone in their figure.
    titles : sequence of str
    title, xlabel : str
        Of the whole.
    """
    figure, n = axes.figure, len(titles)
    columns = n if n <= 3 else math.ceil(math.sqrt(n * 1.5 if n > 4 else n))
    columns = min(columns, columns - 1 or 1, key=lambda count: -n % count)  # the one that leaves fewer places empty
    rows = math.ceil(n / columns)
    width, height = (4.6, 3.0) if n == 1 else (2.7, 2.0) if n <= 4 else (2.1, 1.5) if n <= 15 else (1.5, 1.1)
    gap, line, head, foot = 0.5, 0.3, 0.45, 0.45  # beside a panel, above it, above all, below all
    whole = columns * (width + gap) + 0.15, rows * (height + line) + head + foot
    axes.remove()
    figure.set_size_inches(*whole)
    found = []
    for i, name in enumerate(distinct(titles, int(width * 15))):
        row, column = divmod(i, columns)
        left, below = gap + column * (width + gap), foot + (rows - 1 - row) * (height + line)
        panel = figure.add_axes((left / whole[0], below / whole[1], width / whole[0], height / whole[1]))
        panel.set_title(name, fontsize=8 if n <= 15 else 7, pad=3)
        panel.tick_params(labelsize=6.5, pad=2, length=2.5, labelbottom=i + columns >= n)
        for axis in (panel.xaxis, panel.yaxis):
            axis.set_label_coords(0, 0)  # there is no label: saves half of the time, to look for its place
        found.append(panel)
    figure.text(0.15 / whole[0], 1 - 0.08 / whole[1], title, va="top", fontsize=9)
    figure.text(0.5, 0.08 / whole[1], xlabel, ha="center", va="bottom", fontsize=8)
    return found


def legend_above(panel: Axes, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Draw one legend for all small multiples, between their title and the first of them."""
    figure = panel.figure
    width, height = figure.get_size_inches()
    place = (0.1 / width, 1 - 0.22 / height)
    _name(figure.legend(handles, _numbers(names), loc="upper left", bbox_to_anchor=place, ncols=len(names)), names)


def legend(axes: Axes, handles: Sequence[Any], names: Sequence[str]) -> None:
    """Draw a legend beside axes, where it hides nothing, unless it has too many entries to be read."""
    if len(names) <= 24:
        place = (1.01, 0.5)
        _name(axes.legend(handles, _numbers(names), loc="center left", bbox_to_anchor=place), names)


def _numbers(names: Sequence[str]) -> list[str]:
    return [str(i) for i in range(len(names))]


def _name(drawn: Any, names: Sequence[str]) -> None:
    """Name the entries of a legend afterwards: it would leave out names that begin with an underscore."""
    for text, name in zip(drawn.get_texts(), distinct(names, 36), strict=True):
        text.set_text(name)


def short(name: str, most: int) -> str:
    """Return a name of at most so many characters, cut in the middle: long names often differ at the end."""
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[-end:]}"


def distinct(names: Sequence[str], most: int) -> list[str]:
    """Return names of at most so many characters that differ as the names do, if a cut at one place can do that.

    Those that are too long are cut in the middle, or where more of them stay different.
    """
    if all(len(name) <= most for name in names):
        return list(names)

    def cut(name: str, start: int, end: int) -> str:
        """Keep the name's first characters and its last ones, or those from ``start`` on."""
        if len(name) <= most:
            return name
        if end:
            return f"{name[:start]}…{name[-end:]}"
        return f"…{name[start : start + most - 2]}…" if len(name) > start + most - 2 else f"…{name[1 - most :]}"

    longest, half = max(map(len, names)), (most - 1) // 2
    ends = sorted({half, *range(1, most - 1, 2)}, key=lambda end: abs(end - half))
    tried = [(most - 1 - end, end) for end in ends] + [(start, 0) for start in range(1, longest - most + 2, 4)]
    cuts = ([cut(name, *place) for name in names] for place in tried)
    return max(cuts, key=lambda found: len(set(found)))


def scale_of(values: Sequence[float]) -> str:
    """Return the scale, ``log`` or ``linear``, on which values that are to be drawn can be told apart."""
    known = [value for value in values if math.isfinite(value)]
    return "log" if known and min(known) > 0 and max(known) > SPACED * min(known) else "linear"


def few_ticks(axes: Axes, count: int = 4) -> None:
    """Give small axes few ticks, the lower ones at whole numbers; on logarithmic axes at powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.xaxis.set_major_locator(MaxNLocator(count, integer=True, steps=STEPS))
    if axes.get_yscale() == "linear":
        axes.yaxis.set_major_locator(MaxNLocator(count + 1, steps=(1, 2, 2.5, 5, 10)))
        return
    axes.yaxis.set_major_locator(LogLocator(numticks=count + 1))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(plain))


def plain(value: float, place: object = None) -> str:
    """Write the number at a tick without mathematics: 0.01, 100,000, 1e+07."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e7 and value == round(value) else f"{value:g}"
