"""A trained model in words: what `mtl inspect RUN` prints."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from mtl_cli.data.inputs import size_of
from mtl_cli.inference.description import Description
from mtl_cli.reports.first_look import shortened
from mtl_cli.reports.rows import Rows, rendered

MOST = 60
"""Features, or layers, that are shown; ``--format json`` has all."""
UNITS = ((1e6, "MB"), (1e3, "kB"), (1, "bytes"))


def sections(found: Description) -> dict[str, Rows]:
    """Return the tables that a description consists of."""
    joined = any(feature.dataset for feature in found.features)
    tasks = [
        {
            "task": task["name"], "kind": task["kind"], "labels in": task["columns"], "learnt": learnt(task),
            "weight": task["weight"], "auxiliary": task["auxiliary"],
        }
        for task in found.tasks
    ]  # fmt: skip
    features = [
        {
            **({"data set": feature.dataset} if joined else {}),
            "feature": feature.name, "kind": feature.kind, "inputs": len(feature.inputs) or None,
            "encoded": feature.encoding,
        }
        for feature in found.features
    ]  # fmt: skip
    every = [task["name"] for task in found.tasks]
    layers = [
        {
            "layer": layer.name, "type": layer.kind, "weight": layer.shape, "parameters": layer.parameters,
            "trained by": readers(layer.tasks, every),
        }
        for layer in found.layers
    ]  # fmt: skip
    return {"tasks": tasks, "features": features, "layers": layers}


def readers(tasks: list[str], every: list[str]) -> str:
    """Return whose a layer is."""
    if not tasks:
        return "no task"
    if len(tasks) == 1:
        return tasks[0]
    return "all tasks" if len(tasks) == len(every) else ", ".join(tasks)


def learnt(task: Mapping[str, Any]) -> str:
    """Return what a task was fitted to, and the steps behind it."""
    words = []
    if labels := task.get("classes") or task.get("labels"):
        words.append(f"{len(labels)} labels: {', '.join(map(str, labels))}")
    elif task.get("loss_name"):
        words.append(str(task["loss_name"]))
    if isinstance(task.get("center"), float) and isinstance(task.get("scale"), float):
        words[-1:] = [", ".join([*words[-1:], f"mean {task['center']:.4g}, deviation {task['scale']:.4g}"])]
    if task.get("transform", "none") != "none":
        words.append(task["transform"])
    if task.get("linear"):
        words.append(f"{task['linear']:.0%} of it a linear model")
    words += task["post_hoc"]
    return "; ".join(words)


def facts(found: Description) -> Iterator[tuple[str, str]]:
    """Yield what there is to say in a line each."""
    size = next(f"{found.bytes / unit:.3g} {name}" for unit, name in UNITS if found.bytes >= unit)
    yield "model", f"{found.path}, {size}, format {found.format}, written by mtl {found.mtl}"
    if run := found.run:
        done = f"{run['seconds']:.0f} s on {run['device']}" if run.get("seconds") is not None else "not finished"
        yield "made with", f"{done}, Python {run['python']}, torch {run['torch']}, seed {run['seed']}"
        yield "command", shlex.join(run["command"])
        if run.get("score") is not None:
            yield "score", f"{run['score']:.4g}, the mean skill on the validation rows"
    for name, source in found.data.items():
        mark = found.fingerprints.get(name)
        yield f"data{f' {name}' if name else ''}", source + (f", fingerprint {mark[:16]}…" if mark else "")
    yield "licence", found.license or "none stated (license=… when training)"
    yield "parts", ", ".join(f"{key} {name}" for key, name in found.parts.items())
    yield "plugins", ", ".join(f"{part} of {package}" for part, package in found.plugins.items()) or "none needed"
    shape = size_of(tuple(found.shape))
    yield "inputs", f"{found.inputs}{f' {shape}' if shape else ''}"
    whose = f"{found.shared:,} of them shared by several tasks"
    each = f"{found.members} members of {found.parameters:,}" if found.members > 1 else f"{found.parameters:,}"
    yield "network", f"{each} parameters, {whose}"


def text_of(found: Description, width: int | None) -> str:
    """Return a description as a person reads it."""
    lines = [f"{name:<10} {text}" for name, text in facts(found)]
    lines = [line if width is None else shortened(line, width) for line in lines]
    for name, rows in sections(found).items():
        shown = list(rows)[:MOST]
        lines += ["", *rendered(_without_empty(shown), "table").splitlines()]
        if len(rows) > MOST:
            lines.append(f"and {len(rows) - MOST:,} more {name}; --format json shows all")
    return "\n".join(lines) + "\n"


def markdown_of(found: Description) -> str:
    """Return a description in Markdown."""
    lines = [f"- {name}: {text}" for name, text in facts(found)]
    for name, rows in sections(found).items():
        lines += ["", f"## {name.capitalize()}", "", *rendered(rows, "md").splitlines()]
    return "\n".join(lines) + "\n"


def long_rows(found: Description) -> Rows:
    """Return a description as rows of one form, for CSV."""
    rows = [{"section": "model", "name": name, "key": "", "value": text} for name, text in facts(found)]
    for section, table in sections(found).items():
        for row in table:
            (_, name), *others = [(key, value) for key, value in row.items() if key != "data set"]
            whose = f"{row['data set']}." if "data set" in row else ""
            rows += [{"section": section, "name": f"{whose}{name}", "key": k, "value": v} for k, v in others]
    return rows


def _without_empty(rows: Rows) -> Rows:
    """Leave out the columns in which all rows say the same as most models: a weight of 1, not auxiliary."""
    plain = {"weight": 1.0, "auxiliary": False}
    same = {key for key, value in plain.items() if all(row.get(key) == value for row in rows)}
    return [{key: value for key, value in row.items() if key not in same} for row in rows]
