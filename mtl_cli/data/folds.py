"""Folds: the rows that train, divided into K parts, each of which is held out once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.data.stratify import deal, strata
from mtl_cli.tasks.labels import text_of

if TYPE_CHECKING:
    import pandas as pd


def folds(
    rows: int,
    k: int,
    seed: int,
    labels: Mapping[str, pd.Series] | None = None,
    unit: np.ndarray | None = None,
    times: np.ndarray | None = None,
    ids: pd.Series | None = None,
) -> np.ndarray:
    """Return the fold of each row, 0 to k − 1.

    Parameters
    ----------
    rows, k, seed : int
        ``seed`` is of no use with ``times``.
    labels : mapping of str to Series, optional
        By task, to be spread evenly over the folds: see ``strata``. Of no use with ``times`` or ``ids``.
    unit : ndarray of int, optional
        Rows with the same number share a fold: groups, duplicates, or both (see ``kept_together``).
    times : ndarray, optional
        The folds are blocks of time, of about as many rows each, in order: fold 0 is the earliest. Rows of one instant
        are in one block. A model of fold j is to be trained on all other blocks, later ones too (blocked
        cross-validation): each row is held out once, and each model sees (k − 1) / k of the rows.
    ids : Series, optional
        One for each row. A row's fold follows from its id and the seed alone, whatever other rows there are.

    Raises
    ------
    UserError
        If there are fewer rows, units or instants than folds, or a row has no id.
    """
    if times is not None:
        return _blocks(times, k)
    if ids is not None:
        found = (uniform_hash(ids, f"{seed} fold") * k).astype(int)
        if (empty := k - len(np.unique(found))) > 0:
            raise UserError("folds", f"{empty} of {k} folds would have no row", "choose fewer")
        return found
    count = rows if unit is None else len(np.unique(unit))
    if count < k:
        what = "rows" if unit is None else "groups of rows"
        raise UserError("folds", f"{k} folds cannot be made of {count} {what}", "choose fewer")
    sizes = [rows // k + (i < rows % k) for i in range(k)]
    columns = labels or {"rows": _same(rows)}
    return deal(strata(columns), sizes, seed, unit)


def uniform_hash(ids: pd.Series, salt: str) -> np.ndarray:
    """Return a number in [0, 1) for each id, which depends on nothing but the id as text and the salt."""
    import hashlib

    import pandas as pd

    codes, distinct = pd.factorize(ids)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0])
        raise UserError("dataset.split.by", f"row {row + 1} has no id in column '{ids.name}'", "give each row one")
    texts = (f"{salt} {text_of(i).strip()}".encode() for i in distinct)
    found = [int.from_bytes(hashlib.blake2b(text, digest_size=6).digest(), "big") for text in texts]
    return (np.array(found) / 2.0**48)[codes]


def _blocks(times: np.ndarray, k: int) -> np.ndarray:
    instants, place, counts = np.unique(times, return_inverse=True, return_counts=True)
    if len(instants) < k:
        raise UserError("folds", f"{k} blocks of time cannot be made of {len(instants)} different times")
    ends = nearest_ends(counts, [len(times) * (i + 1) / k for i in range(k - 1)])
    return np.searchsorted(ends, place, side="right")


def nearest_ends(counts: np.ndarray, wanted: list[float]) -> np.ndarray:
    """Return after how many instants each block ends, all but the last: nearest to the rows wanted, no block empty.

    Parameters
    ----------
    counts : ndarray of int
        The rows of each instant, in order; more instants than there are ends.
    wanted : list of float
        Ascending: how many rows are to lie before each end.
    """
    before = np.concatenate([[0], np.cumsum(counts)])
    ends: list[int] = []
    for i, target in enumerate(wanted):
        first, last = (ends[-1] if ends else 0) + 1, len(counts) - (len(wanted) - i)
        ends.append(first + int(np.argmin(np.abs(before[first : last + 1] - target))))
    return np.array(ends)


def _same(rows: int) -> pd.Series:
    import pandas as pd

    return pd.Series(["all"] * rows)
