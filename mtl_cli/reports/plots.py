"""The pictures of a run, as PNG files. Drawn without pyplot, which would take a display and half a second."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mtl_cli.data.base import Part
from mtl_cli.io import atomic
from mtl_cli.reports.pictures import are_images, draw_worst_images
from mtl_cli.runs.directory import HISTORY, PLOTS
from mtl_cli.tasks.calibration import reliability
from mtl_cli.tasks.task import Task
from mtl_cli.training.run import Finished

Axes = Any


def write_plots(finished: Finished, balancer_file: str) -> list[Path]:
    """Draw the losses, the balancer's weights, and each task's predictions on the test rows."""
    folder = finished.run.path / PLOTS
    folder.mkdir(exist_ok=True)
    names = list(finished.tasks)
    history, weights = _read(finished.run.path / HISTORY), _read(finished.run.path / balancer_file)
    drawings: dict[str, Callable[[Axes], None]] = {
        "losses": lambda axes: _losses(axes, history, names, finished.best.epoch),
    }
    if weights:
        drawings["weights"] = lambda axes: _weights(axes, weights, names)
    penalties = [column for column in history if column.startswith("penalty_")]
    if penalties:
        drawings["penalty"] = lambda axes: _penalties(axes, history, penalties)
    if finished.part is not None:
        images = are_images(finished.part)
        for name, task in finished.tasks.items():
            if finished.part.targets[name].mask.any():
                drawings |= _task_drawings(task, finished.part, finished.outputs[name], images)
    return [_draw(folder / f"{_file_name(name)}.png", draw) for name, draw in drawings.items()]


def _draw(path: Path, draw: Callable[[Axes], None]) -> Path:
    figure = Figure(figsize=(6, 4), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.13, 0.14, 0.83, 0.76))
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    atomic(path, lambda file: figure.savefig(file, bbox_inches="tight"))  # class names may be long
    return path


def _file_name(name: str) -> str:
    return "".join(character if character.isalnum() or character in "-_." else "_" for character in name)


def _read(path: Path) -> dict[str, list[float]]:
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {column: [float(row[column] or "nan") for row in rows] for column in (rows[0] if rows else {})}


def _losses(axes: Axes, history: dict[str, list[float]], tasks: list[str], best: int) -> None:
    for i, name in enumerate(tasks):
        axes.plot(history["epoch"], history[f"loss_{name}"], color=f"C{i % 10}", label=f"{name}, training")
        if f"val_loss_{name}" in history:
            validation = history[f"val_loss_{name}"]
            axes.plot(history["epoch"], validation, color=f"C{i % 10}", linestyle="--", label=f"{name}, validation")
    if "val_score" in history:
        axes.axvline(best, color="0.6", linewidth=1, linestyle=":", label=f"epoch {best}, whose weights were kept")
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="epoch", ylabel="loss", title="Loss per task")
    _legend(axes, 2 * len(tasks) + 1)


def _penalties(axes: Axes, history: dict[str, list[float]], columns: list[str]) -> None:
    for column in columns:
        axes.plot(history["epoch"], history[column], label=column.removeprefix("penalty_"))
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="epoch", ylabel="penalty", title="What is added to the losses, at each epoch's end")
    _legend(axes, len(columns))


def _weights(axes: Axes, weights: dict[str, list[float]], tasks: list[str]) -> None:
    for i, name in enumerate(tasks):
        axes.plot(weights["step"], weights[f"weight_{name}"], color=f"C{i % 10}", label=name)
    axes.locator_params(axis="x", integer=True)
    axes.set(xlabel="step", ylabel="weight", title="Weight per task", ylim=(0, None))
    _legend(axes, len(tasks))


def _task_drawings(task: Task, part: Part, output: np.ndarray, images: bool) -> dict[str, Callable[[Axes], None]]:
    target, name, every = part.targets[task.name], task.name, output
    output, values = output[target.mask], target.values[target.mask]
    truth, predicted = part.labels[name][target.mask].to_numpy(), task.decode(output)[f"predicted_{name}"]
    drawings: dict[str, tuple[str, Callable[[Axes], None]]] = {
        "scatter": (f"predicted_{name}", lambda axes: _scatter(axes, name, truth.astype(float), predicted)),
        "confusion": (f"confusion_{name}", lambda axes: _confusion(axes, task, truth, predicted)),
        "calibration": (f"calibration_{name}", lambda axes: _calibration(axes, name, *task.confidence(output, values))),
    }
    found = dict(drawings[picture] for picture in task.pictures)
    return found | {f"images_{name}": lambda axes: draw_worst_images(axes, task, part, every)} if images else found


def _scatter(axes: Axes, name: str, truth: np.ndarray, predicted: np.ndarray) -> None:
    low, high = min(truth.min(), predicted.min()), max(truth.max(), predicted.max())
    axes.plot([low, high], [low, high], color="0.6", linewidth=1)
    axes.scatter(truth, predicted, s=12, alpha=0.4, edgecolors="none", rasterized=True)
    axes.set(xlabel=f"{name}, true", ylabel=f"{name}, predicted", title=f"{name}: predicted against true, test rows")


def _confusion(axes: Axes, task: Any, truth: np.ndarray, predicted: np.ndarray) -> None:
    names = [str(label) for label in task.classes]
    position = {name: i for i, name in enumerate(names)}
    counts = np.zeros((len(names), len(names)), dtype=int)
    for true, guess in zip(truth, predicted, strict=True):
        counts[position[str(true)], position[str(guess)]] += 1
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if len(names) <= 12:
        for (i, j), count in np.ndenumerate(counts):
            axes.text(j, i, str(count), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    if len(names) <= 30:
        axes.set_xticks(range(len(names)), names, rotation=0 if len(names) < 8 else 90)
        axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="true", title=f"{task.name}: test rows by true and predicted class")


def _calibration(axes: Axes, name: str, confidence: np.ndarray, hit: np.ndarray) -> None:
    mean, frequency, count = reliability(confidence, hit)
    axes.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    axes.plot(mean, frequency, marker="o")
    for x, y, n in zip(mean, frequency, count, strict=True):
        axes.annotate(str(n), (x, y), textcoords="offset points", xytext=(6, -10), fontsize=8, color="0.4")
    axes.set(
        xlabel="probability stated", ylabel="share that was so", xlim=(0, 1), ylim=(0, 1.02),
        title=f"{name}: calibration on test rows (with row counts)",
    )  # fmt: skip


def _legend(axes: Axes, entries: int) -> None:
    if entries <= 24:
        axes.legend(frameon=False, fontsize=8, ncols=1 if entries <= 8 else 2)
