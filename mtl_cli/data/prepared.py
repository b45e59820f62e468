"""What a data set hands to training: arrays per part, the fitted tasks, and how to encode more of the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from mtl_cli.data.features import FeatureEncoder
from mtl_cli.tasks.task import Target, Task


@dataclass(frozen=True)
class Part:
    """The rows of one part of a split (or of a file to predict).

    Parameters
    ----------
    inputs : ndarray of shape (n, inputs), float32
    targets : dict of str to Target
        By task.
    ids : Series of length n
        Named as the id column, or ``row``.
    labels : DataFrame of n rows
        Each task's labels in user units.
    repeats : ndarray of bool, shape (n,)
        Whether a row has the features of a row that the model was trained or chosen on.
    """

    inputs: np.ndarray
    targets: dict[str, Target]
    ids: pd.Series
    labels: pd.DataFrame
    repeats: np.ndarray

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Prepared:
    """A data set ready to train on.

    Parameters
    ----------
    tasks : dict of str to Task
        Fitted to the training rows.
    encoder : FeatureEncoder
        Fitted to the training rows.
    parts : dict of str to Part
        ``train``, and ``val`` and ``test`` where they have rows.
    splits : DataFrame
        The id of every row and its part.
    id_column : str, optional
    text_columns : list of str
        Columns that a text file's reader keeps as they are written: class labels, ids and categories.
    fingerprint : str
        Of the table, to tell whether it is still the same.
    """

    tasks: dict[str, Task]
    encoder: FeatureEncoder
    parts: dict[str, Part]
    splits: pd.DataFrame
    id_column: str | None
    text_columns: list[str]
    fingerprint: str

    def state(self) -> dict[str, Any]:
        """Return what predicting needs, as plain values."""
        tasks = [{"kind": task.kind, "state": task.state()} for task in self.tasks.values()]
        return {
            "tasks": tasks,
            "features": self.encoder.state(),
            "id_column": self.id_column,
            "text_columns": self.text_columns,
            "fingerprint": self.fingerprint,
        }


class TaskFactory(Protocol):
    """The config of a task."""

    labels_as_text: bool

    def columns(self, name: str) -> list[str]:
        """Return the label columns."""

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> Task:
        """Fit to the rows ``train``."""
