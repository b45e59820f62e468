"""What a model takes and what it answers, in plain values: for the page, and for who writes a client."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mtl_cli.serving.answers import plain_rows
from mtl_cli.serving.served import Served
from mtl_cli.tasks.answer_columns import (
    CLASS_PROBABILITY,
    HIGH,
    LOW,
    PREDICTION,
    PROBABILITY,
    QUANTILE,
    SET,
    SURVIVAL,
    ColumnKind,
)
from mtl_cli.tasks.task import Task

ROLES = {"probability": PROBABILITY, "low": LOW, "high": HIGH, "set": SET}
SHOWN = {PREDICTION, CLASS_PROBABILITY, QUANTILE, SURVIVAL, *ROLES.values()}
"""What the page shows in a way of its own; all others are listed below it."""


def described(served: Served) -> dict[str, Any]:
    """Return a model's fields and tasks."""
    return {
        "name": served.name,
        "fields": [asdict(one) for one in served.fields],
        "tasks": [_task(task, served.columns[name]) for name, task in served.tasks.items()],
    }


def _task(task: Task, columns: list[str]) -> dict[str, Any]:
    """Return which column of an answer is what of a task."""
    own = [column for column in task.answer_columns() if column.name in columns]

    def pairs(kind: ColumnKind) -> list[dict[str, str]]:
        return [{"label": column.of, "column": column.name} for column in own if column.kind == kind]

    roles = {role: column.name for role, kind in ROLES.items() for column in own if column.kind == kind}
    quantiles = pairs(QUANTILE)
    if len(quantiles) > 1 and "low" not in roles:
        roles |= {"low": quantiles[0]["column"], "high": quantiles[-1]["column"]}
    shown = {column.name for column in own if column.kind in SHOWN}
    return {
        "name": task.name,
        "kind": task.kind,
        "prediction": PREDICTION.named(task.name),
        "labels": pairs(CLASS_PROBABILITY),
        **roles,
        "curve": sorted(pairs(SURVIVAL), key=lambda pair: float(pair["label"])),
        "others": [column for column in columns if column not in shown],
        "usual": _usual(task),
    }


def _usual(task: Task) -> float | None:
    """Return the best constant prediction of a number; None of another kind of task."""
    import pandas as pd

    if task.class_labels or task.level != "row":
        return None
    found = plain_rows(pd.DataFrame(task.decode(task.baseline[None])))[0].get(PREDICTION.named(task.name))
    return found if isinstance(found, float) else None
