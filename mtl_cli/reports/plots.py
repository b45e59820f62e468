"""Drawing a run's figures as PNG files, without pyplot, which would take a display and half a second."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli.config.registry import components
from mtl_cli.io import atomic
from mtl_cli.reports.figures.base import Answers, Axes, Columns, Course, RunFigure, TaskFigure
from mtl_cli.runs.directory import HISTORY, PLOTS

if TYPE_CHECKING:
    from mtl_cli.data.base import Part
    from mtl_cli.inference.trained import Answer, Evaluated
    from mtl_cli.tasks.task import Task
    from mtl_cli.training.run import Finished

Drawing = tuple[str, Callable[[Axes], None]]
"""A file's stem, and what draws its content."""


def write_plots(finished: Finished, notice: Callable[[str], None]) -> list[Path]:
    """Draw every figure that suits a run, into its folder.

    A figure that fails costs a line, and no other figure.

    Parameters
    ----------
    finished : Finished
    notice : callable
        Takes a line that the user should see.
    """
    history, weights = (read_columns(finished.run.path / file) for file in (HISTORY, finished.weights_name))
    course = Course(list(finished.tasks), history, weights, finished.best.epoch)
    answers = [] if finished.part is None else list(answers_of(finished.tasks, finished.part, finished.answer))
    return _write(finished.run.path / PLOTS, course, answers, notice)


def write_task_plots(folder: Path, evaluated: Evaluated, notice: Callable[[str], None]) -> list[Path]:
    """Draw every figure of a task's predictions on rows that a model was evaluated on, as ``write_plots`` does."""
    answers = list(answers_of(evaluated.tasks, evaluated.part, evaluated.answer))
    return _write(folder, None, answers, notice)


def answers_of(tasks: Mapping[str, Task], part: Part, answer: Answer | None) -> Iterator[Answers]:
    """Yield what figures show of each task: its labels and its predictions, as they are written."""
    if answer is not None:
        for name, task in tasks.items():
            yield Answers(task, part, answer.outputs[name], answer.decided.get(name))


def _write(folder: Path, course: Course | None, answers: list[Answers], notice: Callable[[str], None]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    written, drawings = [], []
    for name, figure in components("figure").items():
        with _noting_failure(name, notice):
            drawings += list(_drawings(name, figure(), course, answers))
    for stem, draw in drawings:
        with _noting_failure(stem, notice):
            path = folder / f"{_file_name(stem)}.png"
            _draw(path, draw, notice)
            written.append(path)
    return written


@contextmanager
def _noting_failure(figure: str, notice: Callable[[str], None]) -> Iterator[None]:
    """Make one line of whatever goes wrong inside: no run is lost for a picture."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # a plugin's figure may raise anything
        what = " ".join(f"{type(error).__name__}: {error}".split())
        notice(f"plots: the figure {figure} could not be drawn: {what}")


def _drawings(
    name: str, figure: RunFigure | TaskFigure, course: Course | None, every: list[Answers]
) -> Iterator[Drawing]:
    """Yield what a figure draws of a run."""
    if isinstance(figure, RunFigure):
        if course is not None and figure.suits(course):
            yield name, partial(figure.draw, course=course)
        return
    for answers in every:
        if answers.mask.any() and (name in answers.task.pictures or figure.suits(answers)):
            yield f"{figure.stem}_{answers.task.name}", partial(figure.draw, answers=answers)


def _draw(path: Path, draw: Callable[[Axes], None], notice: Callable[[str], None]) -> None:
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context({"text.parse_math": False}), warnings.catch_warnings(record=True) as caught:
        figure = Figure(figsize=(6, 4), dpi=100)
        FigureCanvasAgg(figure)
        axes = figure.add_axes((0.13, 0.14, 0.83, 0.76))
        axes.spines[["top", "right"]].set_visible(False)
        draw(axes)
        atomic(path, lambda file: figure.savefig(file, bbox_inches="tight"))  # class names may be long
    lines = list(dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught))
    if lines:
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        notice(f"{PLOTS}/{path.name}: {lines[0]}{more}")


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]", "_", name)


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV file of numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if rows and "member" in rows[0]:
        rows = _means(rows)
    return {column: [float(row[column] or "nan") for row in rows] for column in (rows[0] if rows else {})}


def _means(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the mean over a run's members of rows of the same epoch and step, where some of them may have stopped."""
    at: dict[tuple[str, str], list[dict[str, str]]] = {}
    for row in rows:
        at.setdefault((row["epoch"], row.get("step", "")), []).append(row)
    columns = [column for column in rows[0] if column != "member"]
    found = [{c: _mean([float(row[c] or "nan") for row in same]) for c in columns} for same in at.values()]
    return sorted(found, key=lambda row: (row["epoch"], row.get("step", 0)))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
