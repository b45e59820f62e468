"""`unknown` in place of answers that are not sure enough: what a run keeps for that, and the cuts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.inference.consistency import decide
from mtl_cli.inference.evaluate import answered
from mtl_cli.inference.members import Outputs, calibrated
from mtl_cli.runs.strangers import NotOurs
from mtl_cli.tasks.answer_columns import PREDICTION
from mtl_cli.tasks.selective import Cut, find_cut, rows_needed
from mtl_cli.tasks.task import Target

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.tasks.hierarchy import Hierarchy
    from mtl_cli.tasks.task import Decided, Task

UNKNOWN = "unknown"
WHERE = "--unknown"
ROWS, NUMBERS = 20_000, 4_000_000
"""The most rows that are kept, and the most outputs of them together."""
MORE = "train with a larger dataset.split.val, or trainer.folds=5"


@dataclass(frozen=True)
class Kept:
    """What a model says of labelled rows that it was not trained on: validation rows, or out-of-fold rows.

    Parameters
    ----------
    outputs : dict of str to ndarray of shape (n, outputs)
        By task, before any step behind the model.
    targets : dict of str to Target
        The encoded labels.
    """

    outputs: Outputs
    targets: dict[str, Target]

    def state(self) -> dict[str, Any]:
        """Return what the model file holds of it."""
        import torch

        return {
            name: {
                "outputs": torch.from_numpy(self.outputs[name]),
                "values": torch.from_numpy(target.values),
                "mask": torch.from_numpy(target.mask),
            }
            for name, target in self.targets.items()
        }

    @classmethod
    def restore(cls, state: Mapping[str, Any], tasks: Collection[str]) -> Kept:
        """Rebuild it from its ``state``. Raises NotOurs if it is of other tasks than the model's."""
        if others := state.keys() - set(tasks):
            raise NotOurs(f"keeps validation rows of '{min(others)}', which is none of its tasks")
        outputs = {name: own["outputs"].numpy() for name, own in state.items()}
        return cls(outputs, {name: Target(own["values"].numpy(), own["mask"].numpy()) for name, own in state.items()})


def kept(found: Outputs, targets: Mapping[str, Target], rows: np.ndarray, tasks: Mapping[str, Task]) -> Kept | None:
    """Return what a model says of the rows ``rows`` in the tasks that can have `unknown`; of a part of them if many.

    Parameters
    ----------
    found : dict of str to ndarray of shape (n, outputs)
    targets : mapping of str to Target
    rows : ndarray of bool, shape (n,)
        Those that the model was not trained on.
    tasks : mapping of str to Task
    """
    names = [name for name, task in tasks.items() if task.can_abstain and (targets[name].mask & rows).any()]
    if not names:
        return None
    numbers = np.flatnonzero(rows)
    most = min(ROWS, NUMBERS // sum(tasks[name].outputs for name in names))
    if len(numbers) > most:
        numbers = np.sort(np.random.default_rng(0).permutation(numbers)[:most])
    own = {name: Target(targets[name].values[numbers], targets[name].mask[numbers]) for name in names}
    return Kept({name: np.ascontiguousarray(found[name][numbers]) for name in names}, own)


def shares_of(asked: Sequence[str], tasks: Mapping[str, Task]) -> dict[str, float]:
    """Return the share of right answers that is wanted of each task.

    Parameters
    ----------
    asked : sequence of str
        ``0.95`` for every task that can have `unknown`, or ``TASK=0.95`` for one; what comes later holds.
    tasks : mapping of str to Task

    Raises
    ------
    UserError
        For what is no share between 0 and 1, or no such task.
    """
    able = [name for name, task in tasks.items() if task.can_abstain]
    found: dict[str, float] = {}
    for text in asked:
        name, equals, number = text.rpartition("=")
        try:
            share = float(number)
        except ValueError:
            share = -1.0
        if not 0 < share < 1:
            hint = "0.95: of the answers that are given, at least 95 % are to be right"
            raise UserError(WHERE, f"'{number}' is not a share between 0 and 1", hint)
        if equals and name not in tasks:
            raise UserError(WHERE, f"the run has no task '{name}'", did_you_mean(name, able))
        if not able or (equals and name not in able):
            what = f"task {name}, of kind {tasks[name].kind}, has no" if equals else "no task of the run has"
            raise UserError(WHERE, f"{what} answer of one class a row, or one set of labels, with a probability")
        found |= dict.fromkeys([name] if equals else able, share)
    for name in found:
        if UNKNOWN in map(str, tasks[name].class_labels):
            hint = f"tasks.{name}.mapping='{{{UNKNOWN}: null}}' trains without it"
            raise UserError(WHERE, f"task {name} has a class '{UNKNOWN}' of its own", hint)
    return found


def cuts_of(
    shares: Mapping[str, float],
    rows: Kept | None,
    tasks: Mapping[str, Task],
    hierarchy: Hierarchy | None,
) -> dict[str, Cut]:
    """Choose the cut of each task on the rows that were kept, which go through the same steps as new rows.

    Raises
    ------
    UserError
        If there are none, or too few to hold a cut even if all of their answers were right.
    """
    there = {} if rows is None else {name: tasks[name] for name in rows.targets}
    found = calibrated({} if rows is None else rows.outputs, there)
    levels = hierarchy if hierarchy is not None and there.keys() >= set(hierarchy.levels) else None
    decided = decide(found, there, levels, None, lambda line: None)
    cuts = {}
    for name, share in shares.items():
        count, right, probability = 0, np.zeros(0, bool), np.zeros(0)
        if rows is not None and name in there:
            target, task = rows.targets[name], tasks[name]
            chosen = target.mask & answered(found[name], None)
            answer = task.answer(found[name], decided.get(name))
            probability, right = answer.confidence[chosen], task.is_right(answer.classes, target.values)[chosen]
            count = len(right)
        if not count:
            raise UserError(WHERE, f"the run kept no validation row with a label of task {name}", MORE)
        if count < (least := rows_needed(share)):
            what = f"{share:g} of task {name} takes {least} validation rows, and the run has {count}"
            raise UserError(WHERE, what, f"a smaller share, or {MORE}")
        cuts[name] = find_cut(probability, right, share)
    return cuts


def told(name: str, cut: Cut) -> str:
    """Return the line that says what a cut is and does."""
    rows = f"{cut.rows} validation rows"
    if not np.isfinite(cut.value) and cut.answered:
        return f"task {name}: every row is answered; {cut.right / cut.rows:.3f} of {rows} are right"
    if not cut.answered:
        return f"task {name}: every answer is {UNKNOWN}: no cut leaves {cut.share:g} right, by {rows}"
    share, right = cut.answered / cut.rows, cut.right / cut.answered
    return (
        f"task {name}: {UNKNOWN} unless the probability is above {cut.value:.4g}; of {rows} that answers {share:.1%},"
        f" {right:.3f} of these right"
    )


def unknown_rows(
    cuts: Mapping[str, Cut], found: Outputs, decided: Mapping[str, Decided], tasks: Mapping[str, Task]
) -> dict[str, np.ndarray]:
    """Return by task which rows are not sure enough to be answered, bool of shape (n,)."""
    return {
        name: ~(tasks[name].answer(found[name], decided.get(name)).confidence > cut.value) for name, cut in cuts.items()
    }


def with_unknown(values: np.ndarray, unknown: np.ndarray) -> np.ndarray:
    """Return predicted labels as text, with `unknown` in some rows."""
    texts = np.empty(len(values), dtype=object)
    texts[:] = [UNKNOWN if gone else str(label) for label, gone in zip(values, unknown, strict=True)]
    return texts


def abstention(
    cut: Cut, task: Task, output: np.ndarray, values: np.ndarray, decided: Decided | None
) -> dict[str, float | int]:
    """Return what a cut does to labelled rows: how many it answers, and the share of right answers among these."""
    answer = task.answer(output, decided)
    above = answer.confidence > cut.value
    right = task.is_right(answer.classes, values)
    return {
        "asked": cut.share,
        "cut": cut.value,
        "answered": float(above.mean()) if len(above) else float("nan"),
        "accuracy": float(right[above].mean()) if above.any() else float("nan"),
    }


class UnknownCounts:
    """How many answers were `unknown`, over as many pieces of a file as it is read in."""

    def __init__(self, tasks: Iterable[str]) -> None:
        self.counts = {name: [0, 0] for name in tasks}

    def add(self, table: pd.DataFrame) -> None:
        """Count those in a table of predictions, and the rows that have one of the task."""
        for name, counts in self.counts.items():
            if (column := PREDICTION.named(name)) in table:
                counts[0] += int((table[column] == UNKNOWN).sum())
                counts[1] += int(table[column].notna().sum())

    def line(self) -> str:
        """Return what is said of them."""
        return f"{UNKNOWN}: " + ", ".join(f"{name} {some} of {every}" for name, (some, every) in self.counts.items())
