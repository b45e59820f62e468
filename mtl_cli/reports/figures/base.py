"""The contract of figures: what one is drawn from, and when."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from mtl_cli.reports.figures.layout import Axes as Axes
from mtl_cli.tasks.answer_columns import PREDICTION

if TYPE_CHECKING:
    import numpy as np

    from mtl_cli.data.base import Part
    from mtl_cli.tasks.task import Decided, Task

Columns = Mapping[str, list[float]]
"""The columns of a CSV file of numbers, by name."""


@dataclass(frozen=True)
class Course:
    """How a training went.

    Parameters
    ----------
    tasks : list of str
    history : mapping of str to list of float
        The columns of ``mtl_history.csv``; of several members the means, as far as all of them were trained.
    weights : mapping of str to list of float
        Those of ``<balancer>_weights.csv``, likewise; none if no step was logged.
    best : int
        The epoch whose weights were kept; 0 if that is not known.
    members : tuple of Course
        How it went for each of the run's members, if there are several.
    """

    tasks: list[str]
    history: Columns
    weights: Columns
    best: int
    members: tuple[Course, ...] = ()


class Figure(ABC):
    """A picture of a finished run: a ``RunFigure`` or a ``TaskFigure``.

    It is drawn on axes that are alone in a figure; ``figures/layout.py`` makes them larger, or several of them.
    """

    @abstractmethod
    def draw(self, axes: Axes, shown: Any, /) -> None:
        """Draw on axes that are empty."""

    def table(self, shown: Any, /) -> list[dict[str, Any]]:
        """Return the rows of a CSV file to be written beside a picture that has no room for all; none by default."""
        return []


class RunFigure(Figure):
    """A figure of how a training went, one a run, in a file of its own name."""

    def suits(self, course: Course) -> bool:
        """Whether there is something to draw."""
        return True

    @abstractmethod
    def draw(self, axes: Axes, course: Course) -> None:
        """Draw."""


@dataclass(frozen=True)
class Answers:
    """What a model answers in one task, on rows such as the test rows; n of them have a label and an answer.

    Parameters
    ----------
    task : Task
    part : Part
        All these rows.
    all_outputs : ndarray
        The model's outputs on all of them.
    decided : Decided, optional
        The classes that a step behind the model chose for them.
    where : str
        What to call the rows.
    """

    task: Task
    part: Part
    all_outputs: np.ndarray
    decided: Decided | None = None
    where: str = "test rows"

    @cached_property
    def mask(self) -> np.ndarray:
        """Which rows have a label and an answer, bool."""
        from mtl_cli.inference.evaluate import answered

        labelled: np.ndarray = self.part.targets[self.task.name].mask
        mask: np.ndarray = labelled & answered(self.all_outputs, self.part.inputs.lengths)
        return mask

    @cached_property
    def outputs(self) -> np.ndarray:
        """The outputs on rows with a label, shape (n, outputs)."""
        outputs: np.ndarray = self.all_outputs[self.mask]
        return outputs

    @cached_property
    def values(self) -> np.ndarray:
        """The encoded labels."""
        values: np.ndarray = self.part.targets[self.task.name].values[self.mask]
        return values

    @cached_property
    def labels(self) -> np.ndarray:
        """The labels in user units, shape (n,)."""
        return self.part.labels[self.task.name][self.mask].to_numpy()

    @cached_property
    def predicted(self) -> np.ndarray:
        """The predictions in user units, shape (n,)."""
        column = PREDICTION.named(self.task.name)
        if self.decided is None:
            return self.task.decode(self.outputs)[column]
        return self.task.decode_as(self.outputs, self.decided.select(self.mask))[column]

    @cached_property
    def confidence(self) -> tuple[np.ndarray, np.ndarray]:
        """Stated probabilities, and whether what they were stated of is so."""
        if self.decided is None:
            return self.task.confidence(self.outputs, self.values)
        return self.task.confidence_as(self.outputs, self.values, self.decided.select(self.mask))


class TaskFigure(Figure):
    """A figure of a task's predictions on the test rows, for the kinds of task that name it in ``pictures``."""

    stem: ClassVar[str]
    """What its files' names begin with; the task's name follows."""

    def suits(self, answers: Answers) -> bool:
        """Whether it is drawn for a task that does not name it."""
        return False

    @abstractmethod
    def draw(self, axes: Axes, answers: Answers) -> None:
        """Draw."""
