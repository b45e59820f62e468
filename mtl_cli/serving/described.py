"""What a model takes and what it answers, in plain values: for the page, and for who writes a client."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

from mtl_cli.serving.answers import plain_rows
from mtl_cli.serving.served import Served
from mtl_cli.tasks.task import Task


def described(served: Served) -> dict[str, Any]:
    """Return a model's fields and tasks."""
    return {
        "name": served.name,
        "fields": [asdict(one) for one in served.fields],
        "tasks": [_task(task, served.columns[name]) for name, task in served.tasks.items()],
    }


def _task(task: Task, columns: list[str]) -> dict[str, Any]:
    """Return which column of an answer is what of a task."""
    main = f"predicted_{task.name}"
    labels = [{"label": str(label), "column": f"{main}_prob_{label}"} for label in task.class_labels]
    labels = [one for one in labels if one["column"] in columns]
    known = {main, *(one["column"] for one in labels)}
    found: dict[str, Any] = {"name": task.name, "kind": task.kind, "prediction": main, "labels": labels}
    for role, column in (
        ("probability", f"{main}_prob"),
        ("low", f"{task.name}_low"),
        ("high", f"{task.name}_high"),
        ("set", f"{task.name}_set"),
    ):
        if column in columns:
            found[role] = column
            known.add(column)
    quantiles = sorted(column for column in columns if re.fullmatch(rf"{re.escape(main)}_q\d+", column))
    if len(quantiles) > 1 and "low" not in found:
        found |= {"low": quantiles[0], "high": quantiles[-1]}
    times = [column.removeprefix(f"{main}_at_") for column in columns if column.startswith(f"{main}_at_")]
    found["curve"] = [{"label": time, "column": f"{main}_at_{time}"} for time in sorted(times, key=float)]
    known |= {*quantiles, *(one["column"] for one in found["curve"])}
    return found | {"others": [column for column in columns if column not in known], "usual": _usual(task)}


def _usual(task: Task) -> float | None:
    """Return the best constant prediction of a number; None of another kind of task."""
    import pandas as pd

    if task.class_labels or task.level != "row":
        return None
    found = plain_rows(pd.DataFrame(task.decode(task.baseline[None])))[0].get(f"predicted_{task.name}")
    return found if isinstance(found, float) else None
