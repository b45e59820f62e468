"""What a data set hands to training: rows per part, the fitted tasks, and how to read more of the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.data.inputs import InputRows, InputSpec
from mtl_cli.tasks.task import Target, Task

if TYPE_CHECKING:
    from mtl_cli.data.cells.hierarchy import Hierarchy

Notice = Callable[[str], None]


@dataclass(frozen=True)
class Origin:
    """Where several data sets are joined: which of them each row is of, and whose rows each task labels.

    Parameters
    ----------
    of_rows : ndarray of str, shape (n,)
    of_tasks : dict of str to str
        The data set, by task.
    """

    of_rows: np.ndarray
    of_tasks: dict[str, str]

    def rows(self, task: str) -> np.ndarray:
        """Return which rows are of a task's data set, bool of shape (n,)."""
        return np.asarray(self.of_rows == self.of_tasks[task])

    def select(self, rows: np.ndarray) -> Origin:
        """Return the same of some rows."""
        return Origin(self.of_rows[rows], self.of_tasks)


def row_names(ids: pd.Series, origin: Origin | None) -> pd.DataFrame:
    """Return the columns that say which row is which, for tables of predictions."""
    frame = ids.to_frame()
    if origin is not None:
        frame.insert(0, "dataset", origin.of_rows)
    return frame


@dataclass(frozen=True)
class Part:
    """The rows of one part of a split (or of a file to evaluate on), n of them.

    Parameters
    ----------
    inputs : InputRows
    targets : dict of str to Target
        By task.
    ids : Series
        Named as the id column, or ``row``.
    labels : DataFrame
        Each task's labels in user units.
    repeats : ndarray of bool, shape (n,)
        Whether a row has the features of a row that the model was trained or chosen on.
    weights : ndarray of shape (n,), float32, optional
        How much each row counts in the training loss.
    origin : Origin, optional
        Where several data sets are joined.
    """

    inputs: InputRows
    targets: dict[str, Target]
    ids: pd.Series
    labels: pd.DataFrame
    repeats: np.ndarray
    weights: np.ndarray | None = None
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Examples:
    """Rows as they were read: inputs encoded, labels as they came. n is their number.

    Parameters
    ----------
    inputs : InputRows
    table : DataFrame
        Where tasks find their label columns.
    ids : Series
        Named as the id column, or ``row``.
    where : str
        What to call them in messages.
    kin : ndarray of int, shape (n,), optional
        The same number for rows whose inputs are the same.
    origin : Origin, optional
        Where several data sets are joined.
    unusable : mapping of str to str
        What is wrong with a column that the table lacks for it cannot be labels, by name.
    """

    inputs: InputRows
    table: pd.DataFrame
    ids: pd.Series
    where: str
    kin: np.ndarray | None = None
    origin: Origin | None = None
    unusable: Mapping[str, str] = field(default_factory=dict)

    def select(self, rows: np.ndarray) -> Examples:
        """Return some of the rows (numbers, or bool)."""
        kin = None if self.kin is None else self.kin[rows]
        origin = None if self.origin is None else self.origin.select(rows)
        return Examples(self.inputs.select(rows), self.table.iloc[rows], self.ids.iloc[rows], self.where, kin, origin)

    def part(
        self, tasks: Mapping[str, Task], repeats: np.ndarray | None = None, weights: np.ndarray | None = None
    ) -> Part:
        """Return the rows with the labels of ``tasks`` encoded."""
        labels = {name: task.labels(self.table) for name, task in tasks.items()}
        for name, task in tasks.items():
            if task.level == "token":
                labels[name] = self.inputs.align(labels[name], self.ids, f"tasks.{name}")
        targets = {name: task.encode(labels[name]) for name, task in tasks.items()}
        repeats = np.zeros(len(self.inputs), bool) if repeats is None else repeats
        frame = pd.DataFrame(labels, index=self.table.index)
        return Part(self.inputs, targets, self.ids, frame, repeats, weights, self.origin)


class Reader(Protocol):
    """How a trained model reads data like those it was trained on. A data set's config makes it, and restores it."""

    @property
    def hierarchy(self) -> Hierarchy | None:
        """What was learned about tasks that are levels of one another, if anything."""

    @property
    def spec(self) -> InputSpec:
        """What the network reads."""

    def read(self, path: str, notice: Notice) -> Examples:
        """Read rows to predict or to evaluate on, and say in what they differ from the training rows."""

    def read_own(self, notice: Notice) -> Examples:
        """Read all rows of the data set itself again. Raises UserError if they are not as they were."""

    def state(self) -> dict[str, Any]:
        """Return what the data set's ``restore`` needs, as plain values."""


@dataclass(frozen=True)
class Prepared:
    """A data set ready to train on.

    Parameters
    ----------
    tasks : dict of str to Task
        Fitted to the training rows.
    reader : Reader
        Fitted to the training rows.
    parts : dict of str to Part
        ``train``, and ``val`` and ``test`` where they have rows.
    splits : DataFrame
        The id of every row and its part.
    """

    tasks: dict[str, Task]
    reader: Reader
    parts: dict[str, Part]
    splits: pd.DataFrame

    def state(self) -> dict[str, Any]:
        """Return what predicting needs, as plain values."""
        tasks = [{"kind": task.kind, "state": task.state()} for task in self.tasks.values()]
        return {"tasks": tasks, "reader": self.reader.state()}


class TaskFactory(Protocol):
    """The config of a task."""

    labels_as_text: bool

    @property
    def dataset(self) -> str | None:
        """The one of several joined data sets whose rows the task labels."""

    def columns(self, name: str) -> list[str]:
        """Return the label columns."""

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> Task:
        """Fit to the rows ``train``."""


def fit_tasks(
    tasks: Mapping[str, TaskFactory], table: pd.DataFrame, train: np.ndarray, notice: Notice
) -> dict[str, Task]:
    """Fit every task to the rows ``train`` of a table of labels. Raises UserError with all tasks' problems."""
    fitted: dict[str, Task] = {}
    problems: list[Problem] = []
    for name, task in tasks.items():
        try:
            fitted[name] = task.fit(name, table, train)
        except UserError as error:
            problems.extend(error.problems)
    if problems:
        raise UserError.of(problems)
    for name, task_ in fitted.items():
        if unseen := getattr(task_, "unseen", []):
            shown = ", ".join(f"'{label}'" for label in unseen[:5]) + (", …" if len(unseen) > 5 else "")
            notice(f"tasks.{name}: no training row has the class {shown}")
    return fitted
