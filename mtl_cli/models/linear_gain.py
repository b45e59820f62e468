"""What further inputs are worth to a linear model, on rows that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

PENALTIES = np.logspace(-1, 5, 13)
LEAST_ROWS = 20


def linear_gain(inputs: np.ndarray, further: np.ndarray, labels: Sequence[np.ndarray]) -> float | None:
    """Return the mean over tasks of R²(further) − R²(inputs), of ridge regression on each row while it is left out.

    A task's R² is the mean over its columns of 1 − mean (y − ŷ)² / var y, at the best of ``PENALTIES`` for the column,
    where ŷ of a row comes from all other rows (in closed form, from one decomposition).

    Parameters
    ----------
    inputs : ndarray of shape (n, a)
    further : ndarray of shape (n, b)
        The same rows with further columns.
    labels : sequence of ndarrays of shape (n, columns)
        By task; rows with nan have no label.

    Returns
    -------
    float or None
        None if no task has ``LEAST_ROWS`` labels that differ.
    """
    from sklearn.linear_model import RidgeCV

    known = [np.isfinite(columns).all(1) for columns in labels]
    alike: dict[bytes, list[int]] = {}  # tasks whose labels are of the same rows: one decomposition is enough
    for task, mask in enumerate(known):
        alike.setdefault(mask.tobytes(), []).append(task)
    gains = []
    for tasks in alike.values():
        mask = known[tasks[0]]
        columns = [labels[task][mask] for task in tasks]
        columns = [own[:, own.var(0) > 0] for own in columns]
        columns = [own for own in columns if own.size]
        if mask.sum() < LEAST_ROWS or not columns:
            continue
        every = np.concatenate(columns, 1)
        errors = [
            -np.asarray(RidgeCV(PENALTIES, alpha_per_target=True).fit(rows[mask], every).best_score_)
            for rows in (inputs, further)
        ]
        gained = (errors[0] - errors[1]) / every.var(0)
        ends = np.cumsum([own.shape[1] for own in columns])
        gains += [float(own.mean()) for own in np.split(gained, ends[:-1])]
    return float(np.mean(gains)) if gains else None
