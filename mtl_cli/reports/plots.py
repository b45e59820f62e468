"""Drawing a run's figures as PNG files, without pyplot, which would take a display and half a second."""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli.config.registry import components
from mtl_cli.io import atomic
from mtl_cli.reports.figures.base import Answers, Axes, Columns, Course, RunFigure, TaskFigure
from mtl_cli.runs.directory import HISTORY, PLOTS

if TYPE_CHECKING:
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
    folder = finished.run.path / PLOTS
    folder.mkdir(exist_ok=True)
    written, drawings = [], []
    for name, figure in components("figure").items():
        with _noting_failure(name, notice):
            drawings += list(_drawings(name, figure(), finished))
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


def _drawings(name: str, figure: RunFigure | TaskFigure, finished: Finished) -> Iterator[Drawing]:
    """Yield what a figure draws of a run."""
    if isinstance(figure, RunFigure):
        history, weights = (_read(finished.run.path / file) for file in (HISTORY, finished.weights_name))
        course = Course(list(finished.tasks), history, weights, finished.best.epoch)
        if figure.suits(course):
            yield name, partial(figure.draw, course=course)
    elif finished.part is not None:
        for task in finished.tasks.values():
            answers = Answers(task, finished.part, finished.outputs[task.name])
            if answers.mask.any() and (name in task.pictures or figure.suits(answers)):
                yield f"{figure.stem}_{task.name}", partial(figure.draw, answers=answers)


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


def _read(path: Path) -> Columns:
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
