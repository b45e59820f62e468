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

    gains = []
    for columns in labels:
        known = np.isfinite(columns).all(1)
        columns = columns[known]
        variances = columns.var(0)
        columns, variances = columns[:, variances > 0], variances[variances > 0]
        if len(columns) < LEAST_ROWS or not len(variances):
            continue
        errors = [
            -np.asarray(RidgeCV(PENALTIES, alpha_per_target=True).fit(rows[known], columns).best_score_)
            for rows in (inputs, further)
        ]
        gains.append(float(((errors[0] - errors[1]) / variances).mean()))
    return float(np.mean(gains)) if gains else None
