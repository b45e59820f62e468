"""Tables of what a run's network comes to, with constant predictions, baselines and single-task networks beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mtl_cli.inference.evaluate import NO_METRICS, answered
from mtl_cli.inference.paired import measured
from mtl_cli.reports.page.known import Known
from mtl_cli.reports.page.parts import Cell, Table

NO_COLUMNS = (*NO_METRICS, "loss", "skill", "baselines", "single")
"""What the report of a task holds beside further metrics."""
ROWS = {
    "test": "test rows, which had no say in training",
    "test_unseen": "test rows that repeat no row trained on",
    "val": "validation rows, which chose the epoch",
}


def summary(known: Known) -> Table:
    """Return a row for each task: the metric it is compared by, with an interval, and what others come to.

    Models were compared on the test rows that repeat no row trained on, if there are any that do; then all
    numbers are of these.
    """
    split = split_of(known)
    report = known.metrics["splits"][split]
    names: list[str] = known.metrics.get("baselines", {}).get("names", [])
    alone: dict[str, Any] = known.metrics.get("single", {}).get("tasks", {})
    folds = known.metrics.get("cross_validation")
    columns = ["Task", "Kind", "Labels", "Skill", "Metric", "Network", "Constant", *names]
    columns += (["Single-task"] if alone else []) + ([f"Over {folds['folds']} folds"] if folds else [])
    rows = []
    for name, own in report["tasks"].items():
        if not own.get("rows"):
            rows.append([Cell(name), Cell(known.tasks.get(name, "")), number(0), *[Cell("")] * (len(columns) - 3)])
            continue
        metric = metric_of(known, name)
        value = own.get(metric)
        row = [Cell(name), Cell(known.tasks.get(name, "")), number(own["rows"]), number(own["skill"]), Cell(metric)]
        row += [with_half(value, half_of(known, name)), number(own["constant"].get(metric))]
        beside = known.metrics.get("baselines", {}).get("tasks", {}).get(name, {}).get("differences", {})
        for other in names:
            found = own.get("baselines", {}).get(other, {}).get(metric)
            row.append(_beside(found, beside.get(other), 1))
        if alone:
            row.append(_beside(own.get("single", {}).get(metric), alone.get(name), -1))
        if folds:
            row.append(interval(folds["tasks"].get(name, {}).get(metric)))
        rows.append(row)
    said = f"On the {report['rows']:,} {ROWS[split]}. ± is half of the 95 % interval"
    if names or alone:
        said += "; below another model, by how much it is better (+) or worse (−) than the network on the same rows"
    return Table(f"{said}.", columns, rows, frozenset({2, 3, *range(5, len(columns))}))


def split_of(known: Known) -> str:
    """Return the part of the split that models are compared on."""
    compared = known.metrics.get("baselines") or known.metrics.get("single") or {}
    return str(compared.get("rows", known.part))


def by_kind(known: Known) -> list[Table]:
    """Return a table for each kind of task with all its metrics, and those of other models below each task."""
    if known.part is None:
        return []
    reports: dict[str, Any] = known.metrics["splits"][known.part]["tasks"]
    found = []
    for kind in dict.fromkeys(known.tasks.values()):
        own = {name: reports[name] for name in known.tasks if known.tasks[name] == kind and name in reports}
        metrics = list(dict.fromkeys(key for values in own.values() for key in values if key not in NO_COLUMNS))
        metrics = ["skill", "loss", *metrics]
        rows, inner = [], set()
        for name, values in own.items():
            rows.append([Cell(name), number(values["rows"]), *(number(values.get(metric)) for metric in metrics)])
            beside = {"constant": {"skill": 0.0, **values.get("constant", {})}, **values.get("baselines", {})}
            beside |= {"single-task network": values["single"]} if "single" in values else {}
            for other, their in beside.items() if "skill" in values else ():
                inner.add(len(rows))
                rows.append([Cell(other), Cell(""), *(number(their.get(metric)) for metric in metrics)])
        if rows:
            said = f"{kind}: all metrics on the {ROWS[known.part]}, and those of other models below."
            columns = ["Task", "Labels", *metrics]
            found.append(Table(said, columns, rows, frozenset(range(1, len(columns))), False, frozenset(inner)))
    return found


def by_class(known: Known) -> list[Table]:
    """Return a table for each task of classes: rows, recall, precision and what else is known of each."""
    found = []
    for name, own in known.metrics["splits"].get(known.part, {}).get("tasks", {}).items():
        classes: dict[str, dict[str, Any]] = own.get("classes", {})
        columns = list(dict.fromkeys(key for one in classes.values() for key in one))
        rows = [[Cell(label), *(number(one.get(column)) for column in columns)] for label, one in classes.items()]
        if rows:
            said = f"{name}: its classes on the {ROWS[str(known.part)]}."
            found.append(Table(said, ["Class", *columns], rows, frozenset(range(1, len(columns) + 1))))
    return found


def by_fold(known: Known) -> list[Table]:
    """Return each task's metrics over the folds, in the mean with their interval; nothing without folds."""
    folds = known.metrics.get("cross_validation")
    if not folds:
        return []
    rows = [[Cell("score"), Cell("mean skill"), interval(folds["score"])]]
    rows += [[Cell(n), Cell(key), interval(one)] for n, own in folds["tasks"].items() for key, one in own.items()]
    repeats = f" of {folds['repeats']} repeats" if folds["repeats"] > 1 else ""
    said = f"Over {folds['folds']} folds{repeats} of the rows that are not test rows: mean ± half of the 95 % interval."
    return [Table(said, ["Task", "Metric", "Held-out rows"], rows, frozenset({2}))]


def number(value: Any) -> Cell:
    """Return a number in four digits, sorted by what it is in full."""
    if value is None or isinstance(value, str | bool | list | tuple):
        return Cell("" if value is None else str(value))
    known = math.isfinite(value)
    return Cell(_text(value) if known else "", value if known else math.nan)


def with_half(value: float | None, half: float) -> Cell:
    """Return a number with half the width of its interval, in as many digits as that has to say."""
    if value is None or not math.isfinite(half):
        return number(value)
    digits = 3 if not half > 0 else max(0, 1 - math.floor(math.log10(half)))
    return Cell(f"{value:,.{digits}f} ± {half:,.{digits}f}".replace("-", "−"), value)


def interval(found: Mapping[str, Any] | None) -> Cell:
    """Return a mean with its interval, as ``metrics.json`` has it."""
    if found is None or found["mean"] is None:
        return number(None)
    return with_half(found["mean"], math.nan if found["high"] is None else found["high"] - found["mean"])


def half_of(known: Known, name: str) -> float:
    """Return half the width of the interval of a task's metric, by a bootstrap of the rows; NaN if they are not known.

    The metric is that of ``metric_of``, on the rows of ``split_of``.
    """
    evaluated, split = known.evaluated, split_of(known)
    if evaluated is None or split == "val" or name not in evaluated.part.targets:
        return math.nan
    target, outputs = evaluated.part.targets[name], evaluated.answer.outputs[name]
    rows = target.mask & answered(outputs, evaluated.part.inputs.lengths)
    rows = rows & ~evaluated.part.duplicates if split == "test_unseen" else rows
    return measured(evaluated.tasks[name], outputs[rows], target.values[rows])[1] if np.any(rows) else math.nan


def metric_of(known: Known, name: str) -> str:
    """Return the metric by which a task's models are compared; the primary one, if that is not known."""
    for compared in ("baselines", "single"):
        if (own := known.metrics.get(compared, {}).get("tasks", {}).get(name)) is not None:
            return str(own["metric"])
    if known.evaluated is not None and name in known.evaluated.tasks:
        return known.evaluated.tasks[name].compared
    return str(known.metrics.get("primary", {}).get(name, "skill"))


def _beside(value: float | None, apart: Mapping[str, Any] | None, sign: int) -> Cell:
    """Return another model's number, and below it by how much it is better, with its interval."""
    cell = number(value)
    if apart is None or any(apart[key] is None for key in ("difference", "high")):
        return cell
    half = apart["high"] - apart["difference"]
    digits = 3 if not half > 0 else max(0, 1 - math.floor(math.log10(half)))
    difference = f"{sign * apart['difference']:+,.{digits}f}".replace("-", "−")
    return Cell(f"{cell.text}\n{difference} ± {half:,.{digits}f}", cell.key)


def _text(value: float) -> str:
    if isinstance(value, int) or (value == int(value) and abs(value) >= 10_000):
        return f"{int(value):,}".replace("-", "−")
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.4g}".replace("-", "−")
