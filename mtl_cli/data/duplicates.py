"""Duplicates: rows with equal features. Which they are, and what a split does about them.

The same measurement twice, on two sides of a split, makes a model look better than it is: test rows that it was trained
on test nothing. Each form of data says which of its rows are equal (in features, sequence, pixels or counts) by a
number per row, the duplicate group; the rest is here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

OnDuplicates = Literal["warn", "together", "drop"]
"""Say so; keep them on one side; or leave out the validation and test rows that are duplicates of earlier parts."""


def equal_rows(table: pd.DataFrame, features: list[str]) -> np.ndarray:
    """Return the duplicate groups of a table: a number per row, the same for rows whose features are the same."""
    return table.groupby(features, sort=False, dropna=False).ngroup().to_numpy()


def equal_arrays(arrays: np.ndarray) -> np.ndarray:
    """Return the duplicate groups of arrays along the first axis, such as images: the same number for equal bytes."""
    import pandas as pd

    digests = [hashlib.blake2b(array.tobytes(), digest_size=16).hexdigest() for array in arrays]
    return np.asarray(pd.factorize(np.array(digests))[0])


def seen_before(groups: np.ndarray, rows: np.ndarray, earlier: np.ndarray) -> np.ndarray:
    """Return which of ``rows`` are duplicates of ``earlier`` rows.

    Parameters
    ----------
    groups : ndarray of shape (n,)
        Duplicate groups.
    rows, earlier : ndarray
        Row numbers, or bool.

    Returns
    -------
    ndarray of bool, as many as there are ``rows``
    """
    return np.isin(groups[rows], groups[earlier])


def find_duplicates(train: np.ndarray, val: np.ndarray, test: np.ndarray, groups: np.ndarray) -> dict[str, np.ndarray]:
    """Return by part which validation rows are duplicates of training rows, and which test rows of either.

    A test row that is a duplicate of a validation row counts: the model was chosen by it.

    Parameters
    ----------
    train, val, test : ndarray of int
        Row numbers.
    groups : ndarray of int, shape (rows,)
        The same number for rows with equal features.

    Returns
    -------
    dict of str to ndarray of bool
        For "val" and "test", in the order of their rows.
    """
    return {"val": seen_before(groups, val, train), "test": seen_before(groups, test, np.concatenate([train, val]))}


def tell_of_duplicates(found: dict[str, np.ndarray], action: OnDuplicates, notice: Callable[[str], None]) -> None:
    """Tell how many rows are duplicates of rows seen before, and what was done about it or can be."""
    if not any(mask.any() for mask in found.values()):
        return
    if action == "drop":
        notice(f"{found['test'].sum()} test rows and {found['val'].sum()} validation rows repeat others: left out")
        return
    counts = [f"{found[part].sum()} of {len(found[part])}" for part in ("test", "val")]
    notice(
        f"{counts[0]} test rows and {counts[1]} validation rows repeat the features of rows trained on; "
        "dataset.split.duplicates=together keeps repeats on one side, dataset.split.duplicates=drop leaves them out"
    )
