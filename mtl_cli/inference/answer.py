"""What a model says of some rows, after every step behind it, and the table that it is written as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from mtl_cli.data.base import Notice, Origin, Part, row_names
from mtl_cli.inference.consistency import decide
from mtl_cli.inference.evaluate import answered
from mtl_cli.inference.levels import LevelAnswer, finest, level_scores, sure_columns
from mtl_cli.inference.members import Outputs, average, calibrated, spread
from mtl_cli.inference.unknown import unknown_rows, with_unknown
from mtl_cli.tasks.answer_columns import PREDICTION
from mtl_cli.tasks.hierarchy import Hierarchy
from mtl_cli.tasks.selective import Cut
from mtl_cli.tasks.task import Decided, Task


@dataclass(frozen=True)
class Answer:
    """What a model says of some rows, after every step behind it.

    Parameters
    ----------
    outputs : dict of str to ndarray
        The model's own, calibrated where that was asked for, by task.
    decided : dict of str to Decided
        The classes that a step behind the model chose; of the tasks that are not here, the most probable hold.
    apart : dict of str to dict
        By task and column, how far the members of a model of several are apart.
    unknown : dict of str to ndarray of bool
        Which rows are not sure enough to be answered, by task, where that was asked for.
    hierarchy : Hierarchy, optional
        Of the tasks that are levels.
    sure : LevelAnswer, optional
        Their one answer, of the finest level that is not `unknown`.
    """

    outputs: dict[str, np.ndarray]
    decided: dict[str, Decided] = field(default_factory=dict)
    apart: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    unknown: dict[str, np.ndarray] = field(default_factory=dict)
    hierarchy: Hierarchy | None = None
    sure: LevelAnswer | None = None

    def select(self, rows: np.ndarray) -> Answer:
        """Return what is said of some of the rows."""
        return Answer(
            {name: output[rows] for name, output in self.outputs.items()},
            {name: decided.select(rows) for name, decided in self.decided.items()},
            {name: {key: values[rows] for key, values in columns.items()} for name, columns in self.apart.items()},
            {name: unknown[rows] for name, unknown in self.unknown.items()},
            self.hierarchy,
            None if self.sure is None else self.sure.select(rows),
        )


def answer_of(
    members: Sequence[Outputs],
    tasks: Mapping[str, Task],
    hierarchy: Hierarchy | None,
    clusters: pd.Series | None,
    notice: Notice,
    cuts: Mapping[str, Cut] | None = None,
) -> Answer:
    """Return what a model says of some rows: the mean of its members' outputs, after every step behind it.

    Parameters
    ----------
    members : sequence of dict of str to ndarray
        The raw outputs of each member, by task.
    tasks : mapping of str to Task
    hierarchy : Hierarchy, optional
        Of the tasks that are levels.
    clusters : Series, optional
        Rows of one value take the label that most of them have.
    notice : callable
        Takes a line that the user should see.
    cuts : mapping of str to Cut, optional
        By task, what an answer's probability has to be above, or it is `unknown`.
    """
    found = calibrated(average(members, tasks), tasks)
    decided = decide(found, tasks, hierarchy, clusters, notice)
    unknown = unknown_rows(cuts or {}, found, decided, tasks)
    sure = None if hierarchy is None else finest(hierarchy, tasks, found, decided, unknown)
    apart = spread([calibrated(one, tasks) for one in members], tasks)
    return Answer(found, decided, apart, unknown, hierarchy, sure)


def add_levels(report: dict[str, Any], answer: Answer, part: Part) -> None:
    """Add to what ``evaluate`` returns how good the one answer of tasks that are levels is, if there are such tasks."""
    if answer.hierarchy is None or answer.sure is None:
        return
    outputs = [answer.outputs[name] for name in answer.hierarchy.levels]
    rows = np.logical_and.reduce([answered(output, part.inputs.lengths) for output in outputs])
    if found := level_scores(answer.sure, answer.hierarchy, part.targets, rows):
        report["levels"] = found


def predictions(
    answer: Answer,
    tasks: Mapping[str, Task],
    index: pd.Index,
    lengths: np.ndarray | None = None,
    origin: Origin | None = None,
    probabilities: bool = False,
) -> pd.DataFrame:
    """Return the columns of each task's answers, see ``answer_columns``; ``sure_columns`` of levels come last.

    They are empty in the rows without an answer (see ``answered``), and where data sets are joined in those that are
    not of the task's data set.

    Parameters
    ----------
    answer : Answer
    tasks : mapping of str to Task
    index : Index of length n
    lengths : ndarray of shape (n,), optional
        How many tokens each row has.
    origin : Origin, optional
    probabilities : bool, default False
        Add the probability of every class, ``predicted_<task>_prob_<class>``.
    """
    frames = [pd.DataFrame(index=index)]
    for name, task in tasks.items():
        output, decided = answer.outputs[name], answer.decided.get(name)
        rows = answered(output, lengths)
        if origin is not None:
            rows &= origin.rows(name)
        if not rows.all():
            output, decided = output[rows], None if decided is None else decided.select(rows)
        columns = task.decode(output) if decided is None else task.decode_as(output, decided)
        if name in answer.unknown:
            column = PREDICTION.named(name)
            columns = columns | {column: with_unknown(columns[column], answer.unknown[name][rows])}
        if probabilities:
            columns = columns | task.probabilities(output)
        columns = columns | task.interval_columns(output)
        columns = columns | {column: values[rows] for column, values in answer.apart.get(name, {}).items()}
        if not rows.all():
            columns = {column: _into_rows(values, rows) for column, values in columns.items()}
        frames.append(pd.DataFrame(columns, index=index))
    if (sure := _sure(answer, tasks, index, lengths)) is not None:
        frames.append(sure)
    return pd.concat(frames, axis=1)


def _sure(
    answer: Answer, tasks: Mapping[str, Task], index: pd.Index, lengths: np.ndarray | None
) -> pd.DataFrame | None:
    """Return the columns of the one answer of several levels; None if no level can be `unknown`."""
    if answer.sure is None or answer.hierarchy is None or not answer.unknown.keys() & set(answer.hierarchy.levels):
        return None
    rows = np.logical_and.reduce([answered(answer.outputs[name], lengths) for name in answer.hierarchy.levels])
    columns = sure_columns(answer.sure, answer.hierarchy, tasks)
    return pd.DataFrame({name: _into_rows(found[rows], rows) for name, found in columns.items()}, index=index)


def predictions_with_labels(answer: Answer, tasks: dict[str, Task], part: Part) -> pd.DataFrame:
    """Return the row ids, and for each task its label and its predictions side by side."""
    columns = [row_names(part.ids, part.origin)]
    for name, task in tasks.items():
        predicted = predictions(answer, {name: task}, part.labels.index, part.inputs.lengths, part.origin)
        columns += [part.labels[[name]].convert_dtypes(), predicted]
    return pd.concat(columns, axis=1)


def _into_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Put values into the rows that they are of; the others are empty."""
    empty, dtype = (np.nan, values.dtype) if values.dtype.kind == "f" else (None, np.dtype(object))
    found = np.full(len(rows), empty, dtype)
    found[rows] = values
    return found


@dataclass
class Unanswered:
    """The rows without an answer, counted over as many pieces of a file as it is read in."""

    rows: int = 0
    count: int = 0
    first: str = ""

    def add(self, answer: Answer, ids: pd.Series, lengths: np.ndarray | None) -> None:
        """Count those of some rows."""
        there = np.logical_and.reduce([answered(output, lengths) for output in answer.outputs.values()])
        if not self.count and not there.all():
            self.first = f"{ids.name} {ids.iloc[int(there.argmin())]}"
        self.rows, self.count = self.rows + len(there), self.count + int((~there).sum())

    def tell(self, where: str, notice: Notice) -> None:
        """Tell of them, if there are any."""
        if self.count:
            why = "a number of theirs, in or out of the model, is not finite as float32"
            notice(f"{where}: {self.count} of {self.rows} rows get no prediction ({self.first} first): {why}")
