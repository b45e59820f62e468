"""Drawing a run's figures as PNG or SVG files, without pyplot, which would take a display and half a second."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.io import atomic
from mtl_cli.reports.figures.base import Answers, Axes, Columns, Course, RunFigure, TaskFigure
from mtl_cli.reports.figures.layout import import_matplotlib, settings
from mtl_cli.runs.directory import HISTORY, PLOTS, file_names

if TYPE_CHECKING:
    from mtl_cli.data.base import Part
    from mtl_cli.inference.answer import Answer
    from mtl_cli.inference.trained import Evaluated
    from mtl_cli.tasks.task import Task
    from mtl_cli.training.run import Finished

Form = Literal["png", "svg"]
DPI = 200


@dataclass(frozen=True)
class Drawing:
    """A picture that is to be drawn.

    Parameters
    ----------
    stem : str
        Of its file's name.
    draw : callable
        Draws on axes.
    table : callable
        Returns the rows of the CSV file that goes with it, if any.
    """

    stem: str
    draw: Callable[[Axes], None]
    table: Callable[[], list[dict[str, Any]]]


def write_plots(finished: Finished, notice: Callable[[str], None], form: Form = "png") -> list[Path]:
    """Draw every figure that suits a run, into its folder.

    A figure that fails costs a line, and no other figure.

    Parameters
    ----------
    finished : Finished
    notice : callable
        Takes a line that the user should see.
    form : {"png", "svg"}
        Of the files.
    """
    answers = [] if finished.part is None else list(answers_of(finished.tasks, finished.part, finished.answer))
    return _write(finished.run.path / PLOTS, course_of(finished), answers, notice, form)


def write_task_plots(folder: Path, evaluated: Evaluated, notice: Callable[[str], None]) -> list[Path]:
    """Draw every figure of a task's predictions on rows that a model was evaluated on, as ``write_plots`` does."""
    answers = list(answers_of(evaluated.tasks, evaluated.part, evaluated.answer, evaluated.where))
    return _write(folder, None, answers, notice, "png")


def answers_of(
    tasks: Mapping[str, Task], part: Part, answer: Answer | None, where: str = "test rows"
) -> Iterator[Answers]:
    """Yield what figures show of each task: its labels and its predictions, as they are written."""
    if answer is not None:
        for name, task in tasks.items():
            yield Answers(task, part, answer.outputs[name], answer.decided.get(name), where)


def course_of(finished: Finished) -> Course:
    """Return how a run's training went; members that a refit trained on all rows are left out."""
    folder, names = finished.run.path, list(finished.tasks)
    return read_course(folder, finished.weights_name, names, finished.metrics, finished.best.epoch)


def read_course(folder: Path, weights_name: str, names: list[str], metrics: Mapping[str, Any], best: int) -> Course:
    """Return how a training went, of the files in a run's folder, as ``course_of`` does.

    Parameters
    ----------
    folder : Path
    weights_name : str
        Of the file with the balancer's weights.
    names : list of str
        The tasks.
    metrics : mapping
        What ``metrics.json`` holds, if it is there.
    best : int
        The epoch whose weights were kept; 0 if that is not known.
    """
    history, weights = (read_columns(folder / file) for file in (HISTORY, weights_name))
    numbers = list(dict.fromkeys(history.get("member", [])))
    trained = metrics.get("members", [])
    folds = [member["fold"] is not None for member in trained]
    if len(trained) == len(numbers) and any(folds):
        numbers = [number for number, fold in zip(numbers, folds, strict=True) if fold]
    epochs = [member["epoch"] for member in trained] if len(trained) >= len(numbers) else [0] * len(numbers)
    members = tuple(
        Course(names, of_member(history, number), of_member(weights, number), epoch)
        for number, epoch in zip(numbers, epochs, strict=False)
    )
    if not members:
        return Course(names, history, weights, best)
    if len(members) == 1:
        return members[0]
    histories, every = [one.history for one in members], [one.weights for one in members]
    return Course(names, _means(histories), _means(every), best, members)


def _write(
    folder: Path, course: Course | None, answers: list[Answers], notice: Callable[[str], None], form: Form
) -> list[Path]:
    written = list[Path]()
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        notice(f"plots: no figure could be drawn: {folder} cannot be made: {error.strerror}")
        return written
    drawings = drawings_of(course, answers, notice)
    names = file_names(drawing.stem for drawing in drawings)
    for drawing in drawings:
        with noting_failure(drawing.stem, notice):
            path = folder / f"{names[drawing.stem]}.{form}"
            draw_file(path, drawing.draw, notice)
            written.append(path)
            if rows := drawing.table():
                atomic(path.with_suffix(".csv"), partial(_write_rows, rows=rows))
    return written


def drawings_of(course: Course | None, answers: list[Answers], notice: Callable[[str], None]) -> list[Drawing]:
    """Return every figure that suits a run, as it is to be drawn."""
    found = []
    for name, figure in components("figure").items():
        with noting_failure(name, notice):
            found += list(_drawings(name, figure(), course, answers))
    return found


@contextmanager
def noting_failure(figure: str, notice: Callable[[str], None]) -> Iterator[None]:
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
            yield Drawing(name, partial(figure.draw, course=course), partial(figure.table, course))
        return
    for answers in every:
        if answers.mask.any() and (name in answers.task.pictures or figure.suits(answers)):
            stem = f"{figure.stem}_{answers.task.name}"
            yield Drawing(stem, partial(figure.draw, answers=answers), partial(figure.table, answers))


def draw_file(path: Path, draw: Callable[[Axes], None], notice: Callable[[str], None]) -> None:
    """Draw a picture into a file, of the form that its ending says, whole or not at all."""
    form = path.suffix[1:]
    lines = drawn(draw, lambda save: atomic(path, partial(save, form=form)), settings())
    if lines:
        more = f" (and {len(lines) - 1} more)" if len(lines) > 1 else ""
        notice(f"{PLOTS}/{path.name}: {lines[0]}{more}")


def drawn(
    draw: Callable[[Axes], None], write: Callable[[Callable[..., None]], object], look: Mapping[Any, Any]
) -> list[str]:
    """Draw a picture, and return what matplotlib warned of.

    Parameters
    ----------
    draw : callable
    write : callable
        Is given a function that saves the picture: to a file, or what is written to as one, in a ``form``.
    look : mapping
        matplotlib's settings.
    """
    matplotlib = import_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(dict(look)), warnings.catch_warnings(record=True) as caught:
        figure = Figure(figsize=(6, 4), dpi=DPI)
        FigureCanvasAgg(figure)
        draw(figure.add_axes((0.13, 0.14, 0.83, 0.76)))
        inside = figure.get_tightbbox().padded(0.08)  # names may be long; "tight" would lay all out twice

        def save(file: Any, form: str) -> None:
            plain: dict[str, Any] = {"metadata": {"Date": None}} if form == "svg" else {}  # one seed gives one file
            figure.savefig(file, bbox_inches=inside, format=form, **plain)

        write(save)
    return list(dict.fromkeys(" ".join(str(warning.message).split()) for warning in caught))


def read_columns(path: Path) -> Columns:
    """Return the columns of a CSV file of numbers. Raises UserError if it is damaged."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return {column: [float(row[column] or "nan") for row in rows] for column in (rows[0] if rows else {})}
    except (ValueError, TypeError, csv.Error) as error:  # not UTF-8, no number, more fields than columns
        raise UserError(str(path), f"is damaged: {error}", "it was changed") from error


def of_member(columns: Columns, number: float) -> Columns:
    """Return the rows of one of a run's members, which may lie between those of others."""
    own = [row for row, member in enumerate(columns.get("member", [])) if member == number]
    return {name: [values[row] for row in own] for name, values in columns.items() if name != "member"}


def _means(members: list[Columns]) -> Columns:
    """Return the means over members, row by row, as far as all of them have rows."""
    first = members[0]
    return {name: [sum(row) / len(row) for row in zip(*(one[name] for one in members), strict=False)] for name in first}


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
