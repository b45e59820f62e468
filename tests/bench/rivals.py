"""Models of scikit-learn, one for each task, with default settings unless said: what a network is compared with."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

PENALTIES = np.logspace(-3, 4, 15)
RIVALS: dict[str, tuple[Callable[[int], Any], Callable[[int], Any]]] = {
    "ridge": (lambda seed: RidgeCV(PENALTIES), lambda seed: LogisticRegression(max_iter=1000)),
    "random forest": (
        lambda seed: RandomForestRegressor(random_state=seed),
        lambda seed: RandomForestClassifier(random_state=seed),
    ),
    "extra trees": (
        lambda seed: ExtraTreesRegressor(random_state=seed),
        lambda seed: ExtraTreesClassifier(random_state=seed),
    ),
    "boosting": (
        lambda seed: HistGradientBoostingRegressor(random_state=seed),
        lambda seed: HistGradientBoostingClassifier(random_state=seed),
    ),
    "perceptron": (lambda seed: MLPRegressor(random_state=seed), lambda seed: MLPClassifier(random_state=seed)),
}
"""By name: what makes a model for a number, and for classes, from a seed. The labels that are numbers are scaled."""


def predict_rival(
    name: str, train: pd.DataFrame, test: pd.DataFrame, tasks: dict[str, str], seed: int
) -> dict[str, np.ndarray | pd.DataFrame]:
    """Return what a model says of the test rows: per task numbers, or a column of probabilities per class."""
    found: dict[str, np.ndarray | pd.DataFrame] = {}
    for task, kind in tasks.items():
        rows = train[train[task].notna()]
        inputs, labels = rows.drop(columns=list(tasks)), rows[task]
        make = RIVALS[name][kind != "regression"]
        model = make_pipeline(_encoder(), make(seed))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # its default settings are what is measured
            if kind == "regression":
                mean, deviation = labels.mean(), labels.std() or 1.0
                model.fit(inputs, (labels - mean) / deviation)
                found[task] = model.predict(test[inputs.columns]) * deviation + mean
            else:
                model.fit(inputs, labels.astype(str))
                found[task] = pd.DataFrame(model.predict_proba(test[inputs.columns]), columns=model.classes_)
    return found


def _encoder() -> Any:
    """Return what scales numbers, fills them with the median where missing, and makes ones and zeros of categories."""
    numbers = make_pipeline(SimpleImputer(add_indicator=True, strategy="median"), StandardScaler())
    levels = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=5, sparse_output=False)
    return make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (levels, make_column_selector(dtype_exclude="number")),
    )
