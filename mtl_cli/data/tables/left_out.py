"""Columns that are no features although nobody said so: they name the rows, count them, or hold one value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mtl_cli.data.suspects import FEWEST
from mtl_cli.data.tables.features import FeatureConfig, fits

if TYPE_CHECKING:
    import pandas as pd

UNIQUE = 0.95
"""The share of distinct texts from which on a column names the rows."""


def asked_for(config: FeatureConfig, names: list[str]) -> list[str]:
    """Return the columns that the user names, or has a pattern for, as features."""
    patterns = [*(config.include or []), *config.numeric, *config.categorical, *config.date]
    return [name for name in names if any(fits(name, pattern) for pattern in patterns)]


def left_out(table: pd.DataFrame, names: list[str], kept: list[str], all_may_go: bool = False) -> dict[str, str]:
    """Return which of the columns ``names`` are to be left out, and why; none if no other would be left.

    Parameters
    ----------
    table : DataFrame
    names : list of str
        Of the feature columns.
    kept : list of str
        Those that the user asked for, which stay.
    all_may_go : bool, default False
        Whether all may be left out, for rows are more than their features.
    """
    found = {name: why for name in names if name not in kept and (why := _why(table[name], name)) is not None}
    return found if all_may_go or len(found) < len(names) else {}


def _why(values: pd.Series, name: str) -> str | None:
    from pandas.api import types

    if types.is_integer_dtype(values.dtype) and len(values) > FEWEST and not values.isna().any():
        steps = values.diff().iloc[1:]
        if (steps == 1).all() or (steps == -1).all():
            return "counts the rows"
        if _is_called_id(name) and values.is_unique:
            return "names the rows"
    if (values == values.iloc[0]).all():
        return "has one value"
    if types.is_numeric_dtype(values.dtype) or types.is_datetime64_any_dtype(values.dtype):
        return None
    some = values.iloc[:1000].dropna()
    if len(some) <= FEWEST or some.nunique() < UNIQUE * len(some):
        return None
    present = values.dropna().astype(str)
    if present.nunique() < UNIQUE * len(present) or _looks_measured(present.iloc[:1000]):
        return None
    return "names the rows"


def _is_called_id(name: str) -> bool:
    return bool(re.search(r"(^|[_\W])(id|uuid|guid)$", name, re.IGNORECASE) or re.search(r"[a-z](Id|ID)$", name))


def _looks_measured(texts: pd.Series) -> bool:
    """Tell whether texts are dates or numbers: those may all differ and still be measurements."""
    return bool(texts.str.fullmatch(r"[\d\s.,:/T+Z-]*").mean() > 0.5)
