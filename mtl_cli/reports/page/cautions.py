"""What a reader of a run's results is to be warned of, each with the numbers that it rests on and what to do."""

from __future__ import annotations

import math
import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mtl_cli.reports.advice import advice, ruler
from mtl_cli.reports.card import FEW_ROWS, WEAK
from mtl_cli.reports.first_look import findings
from mtl_cli.reports.page.known import Known
from mtl_cli.reports.page.parts import Caution

GAP = 0.15
"""By how much the skill on rows trained on may be above that on others before over-fitting is spoken of."""
LEARNABLE = 0.1
"""How much more skill another model has on a task that the network could have learnt."""
RULES = 0.9
"""The share of the whole loss, weighted, from which a task dominates it."""
PERFECT = 0.999
"""The skill that is too good to be true."""
FEW_VALIDATION = 100
"""Validation rows with a label below which the choice of the epoch is mostly chance."""
SHOWN = 4
"""Tasks that are named in a caution."""
PARTS = {"test": "test rows", "val": "validation rows"}


def cautions(known: Known) -> list[Caution]:
    """Return what to be warned of, what makes the numbers worthless first."""
    if not known.metrics:
        return [*_ended(known), *_diverged(known), *_dominated(known)]
    found = (_ended, _leaks, _repeats, _diverged, _over_fitted, _unlearnt, _dominated, _better, _few, _classes, _course)
    return [one for check in found for one in check(known)]


def _ended(known: Known) -> Iterator[Caution]:
    resume = f"mtl train resume={shlex.quote(known.path.name)} goes on with it"
    epochs = _epochs(known)
    whole = f"{epochs:.0f} epochs had ended" if epochs != 1 else "1 epoch had ended"
    if known.status == "running":
        yield Caution("The run has not ended", f"run.json says that it is running; {whole}.",
                      f"wait, if a process is at work on it; if it was killed, {resume}")  # fmt: skip
    elif known.status == "failed":
        why = known.record.get("error") or "run.json does not say why"
        yield Caution("The run failed", f"After {known.record.get('seconds', 0):.0f} s, {whole}: {why}",
                      "mend what the message names, and train again: there is no model to be used")  # fmt: skip
    elif known.status != "done":
        yield Caution(f"The run was {known.status}", f"{whole.capitalize()}; nothing was measured.", resume)


def _epochs(known: Known) -> float:
    return (
        0 if known.course is None else max(one.history["epoch"][-1] for one in known.course.members or (known.course,))
    )


def _leaks(known: Known) -> Iterator[Caution]:
    found = [] if known.look is None else findings(known.look)
    leaks = [(place, finding) for place, finding in found if finding.kind in ("leak", "label")]
    if leaks:
        hints = dict.fromkeys(finding.hint or "dataset.features.exclude=[…] leaves them out" for _, finding in leaks)
        yield Caution("A leak: a feature may give an answer away",
                      f"{_listed([f'{place}{finding.text}' for place, finding in leaks])}.",
                      _listed(list(hints)))  # fmt: skip
    tasks = _tasks(known, known.part)
    perfect = [f"{name}: skill {own['skill']:.4f}" for name, own in tasks.items() if _skill(own) >= PERFECT]
    if perfect:
        yield Caution("Too good to be true", f"{_listed(perfect)} on the {PARTS[str(known.part)]}.",
                      "look for a feature that holds the label, or rows that repeat: mtl explain says which features "
                      "a task rests on")  # fmt: skip


def _repeats(known: Known) -> Iterator[Caution]:
    splits = known.metrics["splits"]
    if "test_unseen" not in splits:
        return
    test, unseen = splits["test"], splits["test_unseen"]
    seen = test["rows"] - unseen["rows"]
    yield Caution(
        "Test rows repeat rows trained on",
        f"{seen:,} of {test['rows']:,} do. Mean skill on all of them {_number(test['score'])}, "
        f"on the other {unseen['rows']:,} {_number(unseen['score'])}.",
        "dataset.split.duplicates=together keeps repeats on one side, drop leaves them out",
    )


def _diverged(known: Known) -> Iterator[Caution]:
    lines = []
    for column, values in ({} if known.course is None else known.course.history).items():
        if not column.startswith("loss_") or not values:
            continue
        broken = sum(not math.isfinite(value) for value in values)
        name = column.removeprefix("loss_")
        if broken and broken < len(values):  # a task without labels in a fold is nan throughout
            lines.append(f"{name}: not finite in {broken} of {len(values)} epochs")
        elif values[-1] > 2 * abs(values[0]) > 0:
            lines.append(f"{name}: {values[0]:.3g} in the first epoch, {values[-1]:.3g} in the last")
    if lines:
        yield Caution("The training diverged", f"Training loss of {_listed(lines)}.",
                      "a lower optimizer.lr, or trainer.clip_norm=1")  # fmt: skip
    lost = {name: own["not_finite"] for name, own in _tasks(known, known.part).items() if own.get("not_finite")}
    if lost:
        rows = [f"{count:,} rows of {name}" for name, count in lost.items()]
        yield Caution("Rows without a prediction", f"{_listed(rows)}: a number in or out of the model is not finite.",
                      "look for values far outside the range of training")  # fmt: skip


def _over_fitted(known: Known) -> Iterator[Caution]:
    train, held = _tasks(known, "train"), _tasks(known, known.part)
    gaps = {
        name: (_skill(train.get(name, {})), _skill(own))
        for name, own in held.items()
        if _skill(train.get(name, {})) - _skill(own) > GAP
    }
    if gaps:
        order = sorted(gaps, key=lambda name: gaps[name][1] - gaps[name][0])
        lines = [
            f"{name}: skill {gaps[name][0]:.2f} on rows trained on, {gaps[name][1]:.2f} on others" for name in order
        ]
        where = PARTS[str(known.part)]
        yield Caution("Over-fitting", f"{_listed(lines)} ({len(gaps)} of {len(held)} tasks; the {where}).",
                      "more rows; a smaller model.trunk.hidden, more model.trunk.dropout or optimizer.weight_decay; "
                      "trainer.folds=5 averages five networks")  # fmt: skip


def _unlearnt(known: Known) -> Iterator[Caution]:
    ignored, weak = [], []
    for name, own in _tasks(known, known.part).items():
        if not _skill(own) < WEAK:
            continue
        others = {**own.get("baselines", {}), **({"its single-task network": own["single"]} if "single" in own else {})}
        best = max(others, key=lambda other: _skill(others[other]), default=None)
        line = f"{name}: skill {own['skill']:.3f} on {own['rows']:,} rows"
        if best is not None and _skill(others[best]) - own["skill"] > LEARNABLE:
            ignored.append(f"{line}, where {best} has {_skill(others[best]):.2f}")
        else:
            weak.append(line)
    if ignored:
        yield Caution("Ignored: tasks that could be learnt, and were not", f"{_listed(ignored)}.",
                      "a larger tasks.T.weight, or another balancer (mtl help balancers); trainer.compare_single=true "
                      "says whether sharing is what hurts")  # fmt: skip
    if weak:
        yield Caution("Tasks that are hardly better than a constant", f"{_listed(weak)}.",
                      "the features may not tell these labels: mtl explain, more rows, or leave the task out; "
                      "tasks.T.auxiliary=true keeps it out of the score")  # fmt: skip


def _dominated(known: Known) -> Iterator[Caution]:
    shares = (
        {} if known.course is None else shares_of_loss(known.course.tasks, known.course.history, known.course.weights)
    )
    for name, share in shares.items():
        if share >= RULES and len(shares) > 1:
            yield Caution(
                "A dominated loss",
                f"{name} was {share:.0%} of the weighted loss of {len(shares)} tasks, in the median over epochs.",
                f"tasks.{name}.weight=0.1, a transform of its labels, or a balancer: balancer=uw, gradnorm",
            )


def shares_of_loss(
    tasks: Sequence[str], history: Mapping[str, list[float]], weights: Mapping[str, list[float]]
) -> dict[str, float]:
    """Return each task's share of the weighted training loss, in the median over the epochs."""
    epochs = weights.get("epoch", [])
    last = {epoch: row for row, epoch in enumerate(epochs)}
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for row, epoch in enumerate(history.get("epoch", [])):
        parts = {}
        for name in tasks:
            at = last.get(epoch)
            weight = weights[f"weight_{name}"][at] if at is not None and f"weight_{name}" in weights else 1.0
            parts[name] = abs(weight * history.get(f"loss_{name}", [math.nan] * (row + 1))[row])
        total = sum(value for value in parts.values() if math.isfinite(value))
        for name, value in parts.items():
            if math.isfinite(value) and total > 0:
                found[name].append(value / total)
    return {name: statistics.median(values) for name, values in found.items() if values}


def _better(known: Known) -> Iterator[Caution]:
    compared = known.metrics.get("baselines")
    if compared is not None:
        better = [
            f"{name}: {own['best']} by {abs(own['differences'][own['best']]['difference']):.3g} {own['metric']}"
            for name, own in compared["tasks"].items()
            if own["better"]
        ]
        if better:
            yield Caution("A simpler model is better", f"{_listed(better)}; the 95 % interval leaves out 0.",
                          "use that model for these tasks, or try model=tabm, another optimizer.lr")  # fmt: skip
    alone = known.metrics.get("single", {}).get("tasks", {})
    hurt = [f"{n}: {own['difference']:.3g} {own['metric']}" for n, own in alone.items() if own["verdict"] == "hurts"]
    if hurt:
        yield Caution("Sharing hurts", f"{_listed(hurt)} against the task's own network; the interval leaves out 0.",
                      "model.sharing=mmoe or ple, or train these tasks by themselves")  # fmt: skip


def _few(known: Known) -> Iterator[Caution]:
    splits = known.metrics["splits"]
    folds = known.metrics.get("cross_validation", {}).get("folds")
    few = {n: own["rows"] for n, own in _tasks(known, "val").items() if own["rows"] < FEW_VALIDATION}
    if "val" in splits and few and not folds:
        lines = [f"{name}: {rows:,} labels" for name, rows in few.items()]
        yield Caution("Few validation rows", f"{_listed(lines)}; the epoch was chosen by them.",
                      "trainer.folds=5 uses all rows for that, in turn")  # fmt: skip
    if "val" not in splits:
        yield Caution("No validation rows", "The weights are those of the last epoch.",
                      "dataset.split.val=0.1, or trainer.folds=5, chooses the best one")  # fmt: skip
    if "test" not in splits:
        yield Caution("No test rows", "Nothing here says how good the model is on rows that had no say in training.",
                      "mtl evaluate on a labelled table, or dataset.split.test=0.2")  # fmt: skip
    scarce = [f"{n}: {own['rows']:,}" for n, own in _tasks(known, "test").items() if own["rows"] < FEW_ROWS]
    if scarce:
        yield Caution("Few test rows", f"Test rows with a label: {_listed(scarce)}; their metrics are uncertain.",
                      "a larger dataset.split.test, or trainer.folds=5 for intervals over all rows")  # fmt: skip


def _classes(known: Known) -> Iterator[Caution]:
    few, lost = [], []
    for task, own in _tasks(known, known.part).items():
        for label, one in own.get("classes", {}).items():
            if one["rows"] < FEW_ROWS:
                few.append(f"{task} '{label}' {one['rows']:,}")
            elif (one.get("recall") or 0) < 0.5:
                lost.append(f"{task} '{label}' recall {_number(one.get('recall'))} of {one['rows']:,}")
    if lost:
        yield Caution("Classes of which less than half are found", f"{_listed(lost)}.",
                      "tasks.T.class_weights=balanced, or tasks.T.threshold for a task of two classes")  # fmt: skip
    if few:
        yield Caution("Classes with few rows", f"{PARTS[str(known.part)].capitalize()}: {_listed(few)}.",
                      "more rows of these, or judge them together with others (tasks.T.mapping)")  # fmt: skip


def _course(known: Known) -> Iterator[Caution]:
    if known.course is None:
        return
    own = known.course.members[0] if known.course.members else known.course
    trainer: dict[str, Any] = known.config.get("trainer", {})
    epochs = trainer.get("epochs")
    most = epochs if isinstance(epochs, int) else 0  # auto: what it came to is not kept
    for line in ruler(known.course.tasks, own.weights):
        yield Caution("One task took nearly all the weight", f"{line[:1].upper()}{line[1:]}.",
                      "another balancer, or balancer.min_weight where it has one; mtl help balancers")  # fmt: skip
    for line in advice([], own.history, own.weights, most, trainer.get("early_stopping") is not None):
        seen, _, remedy = line.rpartition(": ")
        yield Caution("The course of the training", f"{seen[:1].upper()}{seen[1:]}.", remedy)


def _tasks(known: Known, part: str | None) -> dict[str, Any]:
    """Return the reports of the tasks that were measured on a part of the split."""
    found: dict[str, Any] = known.metrics.get("splits", {}).get(part, {}).get("tasks", {})
    return {name: own for name, own in found.items() if own.get("rows")}


def _skill(report: Mapping[str, Any]) -> float:
    value = report.get("skill")
    return math.nan if value is None else float(value)


def _listed(lines: Sequence[str]) -> str:
    more = f"; and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
    return "; ".join(lines[:SHOWN]) + more


def _number(value: float | None) -> str:
    return "unknown" if value is None or math.isnan(value) else f"{value:.3f}"
