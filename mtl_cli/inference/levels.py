"""Tasks that are levels of one another, as one answer: the finest that is sure, and scores in which a parent counts.

A class stands for itself and all that it lies within: with the answer of a row the classes above it are said too, and
with its label those above that are true. In ``accuracy`` an answer is right if it is the label or lies above it. The
hierarchical precision, recall and F1 (Kiritchenko, Matwin & Famili 2005; Silla & Freitas 2011, doi
10.1007/s10618-010-0175-9) count classes with all that lies above them: of those said, how many are true, and of those
true, how many are said. So a coarse answer is not wrong, but says less.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mtl_cli.tasks.task import Target

if TYPE_CHECKING:
    from mtl_cli.inference.members import Outputs
    from mtl_cli.tasks.hierarchy import Hierarchy
    from mtl_cli.tasks.task import Decided, Task

COLUMNS = ("predicted_sure", "predicted_sure_level")


@dataclass(frozen=True)
class LevelAnswer:
    """One answer a row, of n, from several levels.

    Parameters
    ----------
    level : ndarray of int, shape (n,)
        The number of the level that it is of, from the coarsest; −1 where no level is sure.
    classes : ndarray of int, shape (n,)
        The number of the class in that level.
    """

    level: np.ndarray
    classes: np.ndarray

    def select(self, rows: np.ndarray) -> LevelAnswer:
        """Return the same of some rows (numbers, or bool)."""
        return LevelAnswer(self.level[rows], self.classes[rows])


def finest(
    hierarchy: Hierarchy,
    tasks: Mapping[str, Task],
    found: Outputs,
    decided: Mapping[str, Decided],
    unknown: Mapping[str, np.ndarray],
) -> LevelAnswer:
    """Return the answer of the finest level that is not `unknown`, of those that can be."""
    rows = len(found[hierarchy.levels[0]])
    level, classes = np.full(rows, -1), np.zeros(rows, int)
    for number, name in enumerate(hierarchy.levels):
        sure = ~unknown[name] if name in unknown else np.ones(rows, bool)
        level[sure] = number
        classes[sure] = tasks[name].answer(found[name], decided.get(name)).classes[sure]
    return LevelAnswer(level, classes)


def sure_columns(answer: LevelAnswer, hierarchy: Hierarchy, tasks: Mapping[str, Task]) -> dict[str, np.ndarray]:
    """Return the columns of the answers: their labels as text, `unknown` where there is none, and their levels."""
    labels, levels = (np.full(len(answer.level), empty, dtype=object) for empty in ("unknown", ""))
    for number, name in enumerate(hierarchy.levels):
        rows = answer.level == number
        names = np.array([str(label) for label in tasks[name].class_labels], dtype=object)
        labels[rows], levels[rows] = names[answer.classes[rows]], name
    return dict(zip(COLUMNS, (labels, levels), strict=True))


def level_scores(
    answer: LevelAnswer, hierarchy: Hierarchy, targets: Mapping[str, Target], answered: np.ndarray
) -> dict[str, Any]:
    """Measure answers on the rows that have a label of some level.

    Parameters
    ----------
    answer : LevelAnswer
        Of n rows.
    hierarchy : Hierarchy
    targets : mapping of str to Target
        Labels by level; a level may be absent. Where a row has none, what lies above its finer label is its label.
    answered : ndarray of bool, shape (n,)
        Which rows the model has an answer for.

    Returns
    -------
    dict
        ``rows``; ``answered``, the share of them that has an answer of some level; ``accuracy`` of the answers whose
        level has a label; hierarchical ``precision``, ``recall`` and ``f1``; and by level the share ``answered`` there
        and the ``accuracy`` of these. An answer finer than a row's labels is neither right nor wrong. Nothing if no row
        has a label.
    """
    truth = _with_parents(hierarchy, [_labels(targets.get(name), len(answer.level)) for name in hierarchy.levels])
    rows = answered & (truth >= 0).any(0)
    if not rows.any():
        return {}
    truth, level, classes = truth[:, rows], answer.level[rows], answer.classes[rows]
    said = np.full(truth.shape, -1)
    own = level >= 0
    said[level[own], np.flatnonzero(own)] = classes[own]
    said = _with_parents(hierarchy, list(said))
    both, known = (said == truth) & (truth >= 0), truth >= 0
    precision, recall = (_share(int(both.sum()), int(of.sum())) for of in (known & (said >= 0), known))
    at_level = np.where(own, truth[level, np.arange(len(level))], -1)
    right = at_level == classes
    levels = {}
    for number, name in enumerate(hierarchy.levels):
        here = level == number
        levels[name] = _answered(here, right, here & (at_level >= 0))
    total = precision + recall
    return {
        "rows": int(rows.sum()),
        **_answered(own, right, at_level >= 0),
        "precision": precision,
        "recall": recall,
        "f1": 2 * precision * recall / total if total > 0 else total,
        "levels": levels,
    }


def _answered(rows: np.ndarray, right: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    return {"answered": float(rows.mean()), "accuracy": _share(int(right[measured].sum()), int(measured.sum()))}


def _share(part: int, of: int) -> float:
    return part / of if of else float("nan")


def _labels(target: Target | None, rows: int) -> np.ndarray:
    return np.full(rows, -1) if target is None else np.where(target.mask, target.values, -1)


def _with_parents(hierarchy: Hierarchy, classes: list[np.ndarray]) -> np.ndarray:
    """Fill in the classes that lie above a row's own, (levels, n), −1 where there is none or no training row tells."""
    found = np.array(classes)
    for level in range(len(found) - 1, 0, -1):
        parents = np.append(hierarchy.parents[level - 1], -1)  # of class −1 too
        found[level - 1] = np.where(found[level - 1] >= 0, found[level - 1], parents[found[level]])
    return found
