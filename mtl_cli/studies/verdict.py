"""What a comparison comes to, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mtl_cli.studies.statistics import Interval, Tested

SHOWN = 6
"""Groups that a sentence names."""


def verdict(labels: Sequence[str], means: Sequence[float], by: str, sign: int, tested: Tested | None) -> list[str]:
    """Say which groups differ, and of those that do not how far they may be apart.

    Parameters
    ----------
    labels : sequence of str
        The groups, the best first.
    means : sequence of float
        Of the measure.
    by : str
        The measure.
    sign : int
        −1 if less is better.
    tested : Tested, optional
        In the order of the groups, larger is better; None if there is one run of each.
    """
    if len(labels) < 2:
        return []
    if tested is None:
        ends = f"{labels[0]} {_number(means[0])} is best, {labels[-1]} {_number(means[-1])} is worst"
        return [f"{by}: {ends}; with one run of each, no interval can be given: seed=0,1,2,3,4 makes five"]
    named = [f"{label} {_number(mean)}" for label, mean in zip(labels, means, strict=True)]
    if not tested.told:
        other = 1 if len(labels) == 2 else len(labels) - 1
        pair = f"{named[0]}, {named[other]}, {_range(tested, (0, other), sign)}"
        among = "" if len(labels) == 2 else f" between any of {len(labels)} groups, not even the best and the worst"
        at_once = f"; p = {tested.p:.2g} for all groups at once" if tested.differences[0, other].apart else ""
        return [f"{by}: no significant difference{among}: {pair}{at_once}"]
    lines = []
    for best in range(len(labels)):
        worse = [j for j in range(best + 1, len(labels)) if (best, j) in tested.told]
        if worse:
            better = [f"{named[j]} ({_range(tested, (best, j), sign)})" for j in worse[:SHOWN]]
            more = f", and {len(worse) - SHOWN} more" if len(worse) > SHOWN else ""
            lines.append(f"{by}: {named[best]} is better than {', '.join(better)}{more}")
            break
    if best > 0 or len(worse) < len(labels) - 1:
        equal = [j for j in range(1, len(labels)) if (0, j) not in tested.told]
        if equal:
            rest = ", ".join(named[j] for j in equal[:SHOWN]) + (" …" if len(equal) > SHOWN else "")
            lines.append(f"{by}: no significant difference between {named[0]} and {rest}")
    return lines


def _range(tested: Tested, pair: tuple[int, int], sign: int) -> str:
    """Say how far two groups are apart, in the measure's own direction; by ranks, how far these are."""
    if tested.ranks is not None and tested.critical is not None:
        first, second = (tested.ranks[place] for place in pair)
        return f"mean ranks {first:.2f} and {second:.2f}, critical difference {tested.critical:.2f}"
    found = tested.differences[pair]
    low, high = sorted((sign * found.low, sign * found.high))
    digits = digits_of(found)
    return f"interval of the difference {_signed(low, digits)} to {_signed(high, digits)}"


def digits_of(found: Interval) -> int:
    """Return decimals that show an interval's half width with two digits."""
    return 3 if not found.half > 0 else min(6, max(0, 1 - math.floor(math.log10(found.half))))


def _signed(value: float, digits: int) -> str:
    text = f"{abs(value):.{digits}f}"
    return f"−{text}" if value < 0 and float(text) else text


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", "−")
