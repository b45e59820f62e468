"""Post-hoc calibration: a monotone map of the model's probabilities, so that they are as often right as they say.

Both maps are of outputs, so that the loss, the metrics and the columns are all of the calibrated probabilities.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np

from mtl_cli.tasks.links import Link, log_sum_exp, sigmoid, softmax

COLDEST, HOTTEST = 0.02, 50.0
"""The temperatures between which the best one is sought."""


class Recalibration(ABC):
    """A map of outputs, fitted to labelled rows. A subclass is a dataclass of plain numbers, kept in the model file."""

    method: ClassVar[str]

    @classmethod
    @abstractmethod
    def fit(cls, output: np.ndarray, values: np.ndarray, link: Link) -> Self:
        """Fit to outputs, (n, outputs), and labels: 0 or 1, (n,) or (n, outputs), or numbers of classes, (n,)."""

    @abstractmethod
    def __call__(self, output: np.ndarray, link: Link) -> np.ndarray:
        """Return the calibrated outputs, of the same shape; NaN stays NaN."""

    def state(self) -> dict[str, Any]:
        """Return what ``restored`` takes."""
        return {"method": self.method, **asdict(self)}  # type: ignore[call-overload]


@dataclass(frozen=True)
class Temperature(Recalibration):
    """Outputs divided by one number, the T of least negative log-likelihood (Guo et al. 2017, arXiv 1706.04599, 4.2).

    No row's most probable class changes by it.
    """

    temperature: float

    method: ClassVar[str] = "temperature"

    @classmethod
    def fit(cls, output: np.ndarray, values: np.ndarray, link: Link) -> Self:
        from scipy.optimize import minimize_scalar

        logits = output.astype("float64")

        def loss(log_temperature: float) -> float:
            return _negative_log_likelihood(logits / math.exp(log_temperature), values, link)

        # convex in 1 / T, so that it has a single minimum in log T too
        found = minimize_scalar(
            loss, bounds=(math.log(COLDEST), math.log(HOTTEST)), method="bounded", options={"xatol": 1e-6}
        )
        return cls(math.exp(found.x))

    def __call__(self, output: np.ndarray, link: Link) -> np.ndarray:
        return np.asarray(output / np.asarray(self.temperature, output.dtype))


@dataclass(frozen=True)
class Isotonic(Recalibration):
    """The non-decreasing function of each probability that is nearest to what happened (least squares).

    Of several classes each has its own, one against the rest, and they are divided by their sum (Zadrozny & Elkan 2002,
    doi 10.1145/775047.775151). Probabilities stay 1 / (n + 2) away from 0 and 1: n rows cannot tell more.

    Parameters
    ----------
    stated, observed : list of list of float
        By output, the corners of the function, which is linear between them.
    """

    stated: list[list[float]]
    observed: list[list[float]]

    method: ClassVar[str] = "isotonic"

    @classmethod
    def fit(cls, output: np.ndarray, values: np.ndarray, link: Link) -> Self:
        from sklearn.isotonic import IsotonicRegression

        probability, least = _probability(output, link), 1 / (len(output) + 2)
        happened = np.eye(output.shape[1])[values] if link == "softmax" else values.reshape(output.shape)
        stated, observed = [], []
        for own, truth in zip(probability.T, happened.T, strict=True):
            fitted = IsotonicRegression().fit(own, truth)
            stated.append(fitted.X_thresholds_.tolist())
            observed.append(fitted.y_thresholds_.clip(least, 1 - least).tolist())
        return cls(stated, observed)

    def __call__(self, output: np.ndarray, link: Link) -> np.ndarray:
        columns = zip(_probability(output, link).T, self.stated, self.observed, strict=True)
        found = np.stack([np.interp(own, stated, observed) for own, stated, observed in columns], axis=1)
        logits = np.log(found) - np.log(found.sum(1, keepdims=True) if link == "softmax" else 1 - found)
        return np.asarray(logits.astype(output.dtype))


METHODS: dict[str, type[Recalibration]] = {cls.method: cls for cls in (Temperature, Isotonic)}


def restored(state: dict[str, Any]) -> Recalibration:
    """Return what ``Recalibration.state`` kept."""
    return METHODS[state["method"]](**{key: value for key, value in state.items() if key != "method"})


def _probability(output: np.ndarray, link: Link) -> np.ndarray:
    return softmax(output) if link == "softmax" else sigmoid(output)


def _negative_log_likelihood(logits: np.ndarray, values: np.ndarray, link: Link) -> float:
    """Return the mean of −log p of what is so, over rows or over rows and labels."""
    if link == "softmax":
        return float((log_sum_exp(logits)[0] - logits[np.arange(len(logits)), values]).mean())
    return float((np.logaddexp(0, logits) - values.reshape(logits.shape) * logits).mean())
