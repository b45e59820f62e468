"""A model card in Markdown (Mitchell et al. 2019, arXiv 1810.03993), filled from the run."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mtl_cli.inference.description import Description
from mtl_cli.reports.described import learnt
from mtl_cli.reports.rows import rendered

FEW_ROWS = 30
"""Test rows of a class, or task, below which its numbers say little."""
WEAK = 0.1
"""Skill below which a task is hardly better than a constant."""
MOST = 30
"""Features that are listed."""
SHOWN = ("skill", "rmse", "mae", "r2", "accuracy", "balanced_accuracy", "roc_auc", "log_loss", "f1_macro", "coverage")
"""Metrics of the table, of those that a task has."""


def card_of(found: Description, metrics: Mapping[str, Any]) -> str:
    """Return the card.

    Parameters
    ----------
    found : Description
    metrics : mapping
        What ``metrics.json`` holds; empty where there is none.
    """
    names = ", ".join(task["name"] for task in found.tasks)
    sections = {
        f"Model of {names}": _summary(found),
        "Intended use": _use(found),
        "Data": _data(found, metrics),
        "Metrics": _metrics(metrics),
        "Limits": [f"- {line}" for line in limits(found, metrics)],
        "Training": _training(found),
        "Use": _usage(),
    }
    lines = ["---", f"license: {found.license or 'unknown'}", "library_name: mtl", "tags: [multi-task-learning]", "---"]
    for number, (title, body) in enumerate(sections.items()):
        lines += ["", f"{'#' if number == 0 else '##'} {title}", "", *body]
    return "\n".join(lines) + "\n"


def _summary(found: Description) -> list[str]:
    network = f"{found.members} networks, whose mean is predicted," if found.members > 1 else "One network"
    rows = [{"task": task["name"], "kind": task["kind"], "labels": learnt(task)} for task in found.tasks]
    parts = f"{found.parts['trunk']} trunk, {found.parts['sharing']} sharing"
    return [f"{network} of {found.parameters:,} parameters ({parts}) for these tasks:", "", *_table(rows)]


def _use(found: Description) -> list[str]:
    what = ", ".join(f"{task['name']} ({task['kind']})" for task in found.tasks)
    read = f"{len(found.features)} features" if len(found.features) > 1 else found.inputs
    return [
        f"- Predicts {what} from {read}, of rows that are drawn as those below were.",
        "- Not meant for rows of another origin, or beyond the range of training, without a test on labelled rows.",
        "- Not meant for decisions about people without a look at who is in the data and who is not.",
    ]


def _data(found: Description, metrics: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, source in found.data.items():
        mark = found.fingerprints.get(name, "")
        file = Path(source).name  # where it lay is nobody's business
        lines.append(f"- {f'{name}: ' if name else ''}`{file}`" + (f", fingerprint `{mark}`" if mark else ""))
    splits = metrics.get("splits", {})
    counts = {name: splits[name]["rows"] for name in ("train", "val", "test") if name in splits}
    if counts:
        lines.append(f"- rows: {', '.join(f'{rows:,} {name}' for name, rows in counts.items())}")
    lines.append(f"- licence: {found.license or 'not stated'}")
    rows = [{"feature": f.name, "kind": f.kind, "encoded": f.encoding} for f in found.features[:MOST]]
    more = [f"and {len(found.features) - MOST:,} more"] if len(found.features) > MOST else []
    return [*lines, "", *_table(rows), *more]


def _metrics(metrics: Mapping[str, Any]) -> list[str]:
    splits = metrics.get("splits", {})
    part = next((name for name in ("test", "val") if name in splits), None)
    if part is None:
        return ["None are kept with the model."]
    report = splits[part]
    columns = [name for name in SHOWN if any(name in own for own in report["tasks"].values())]
    rows = [
        {"task": task, "rows": own["rows"], **{name: own.get(name) for name in columns}}
        for task, own in report["tasks"].items()
    ]
    which = "test rows, which had no say in training" if part == "test" else "validation rows, which chose the epoch"
    intro = f"On the {report['rows']:,} {which}; skill is 1 − loss / loss of the best constant."
    unseen = splits.get("test_unseen")
    more = [] if unseen is None else [
        "", f"On the {unseen['rows']:,} of them that repeat no row trained on: mean skill {_number(unseen['score'])}."
    ]  # fmt: skip
    return [intro, "", *_table(rows), *more]


def limits(found: Description, metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the run itself shows of the model's limits."""
    splits = metrics.get("splits", {})
    if "test" not in splits:
        yield "There are no test rows: nothing here says how good it is on new ones."
    for task, own in splits.get("test", {}).get("tasks", {}).items():
        if own["rows"] < FEW_ROWS:
            yield f"{task}: only {own['rows']} test rows have a label, so that its metrics are uncertain."
        if (own.get("skill") or 0) < WEAK:
            yield f"{task}: hardly better than a constant (skill {_number(own.get('skill'))})."
        for label, one in own.get("classes", {}).items():
            if one["rows"] < FEW_ROWS:
                yield f"{task}: '{label}' has {one['rows']} test rows."
            elif (one.get("recall") or 0) < 0.5:
                yield f"{task}: less than half of '{label}' is found (recall {_number(one.get('recall'))})."
        for name, other in own.get("baselines", {}).items():
            if (other.get("skill") or -math.inf) > (own.get("skill") or -math.inf):
                yield f"{task}: {name} of scikit-learn was better on these rows (skill {_number(other.get('skill'))})."
    if "test_unseen" in splits:
        yield "Some test rows repeat rows trained on; the metrics without them stand above."
    if found.run.get("status", "done") != "done":
        yield f"The training did not end as planned (status {found.run['status']})."
    yield "It knows nothing of how the data came to be: what is missing there, and who, it cannot say."


def _training(found: Description) -> list[str]:
    lines = [f"- {', '.join(f'{part} {name}' for part, name in found.parts.items())}"]
    if run := found.run:
        lines.append(
            f"- mtl {run['mtl']}, Python {run['python']}, torch {run['torch']}, on {run['device']}, seed {run['seed']}"
        )
        lines.append(f"- `{shlex.join(run['command'])}`")
    plugins = ", ".join(found.plugins.values()) or "none"
    return [*lines, f"- plugins needed: {plugins}"]


def _usage() -> list[str]:
    return ["```sh", "mtl predict MODEL new_rows > predictions.csv", "mtl inspect MODEL", "```", "",
            "MODEL is this folder, its mtl_model.pt, or the zip. Loading it runs no code of its own."]  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> list[str]:
    return rendered(rows, "md").splitlines()


def _number(value: Any) -> str:
    return "unknown" if value is None else f"{value:.3g}"
