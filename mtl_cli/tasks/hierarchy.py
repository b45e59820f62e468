"""Labels in levels, coarse to fine: which fine class belongs to which coarse one, and predictions that fit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from mtl_cli.config.errors import UserError
from mtl_cli.tasks.task import Target, Task

Mode = Literal["report", "enforce", "none"]


@dataclass(frozen=True)
class Hierarchy:
    """Tasks of which each divides the classes of the one before.

    Parameters
    ----------
    mode : {"report", "enforce", "none"}
        Tell of predictions that contradict each other, repair them too, or let them be.
    levels : list of str
        Multiclass tasks, coarse to fine.
    parents : list of list of int
        For each level but the first, by class: the class of the level before that it belongs to, −1 if no training row
        tells.
    """

    mode: Mode
    levels: list[str]
    parents: list[list[int]]

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return {"mode": self.mode, "levels": self.levels, "parents": self.parents}

    def _allowed(self, level: int, coarse: int) -> np.ndarray:
        """Return which class of ``level`` may stand below which of the level before, (coarse, fine) of bool.

        A class fits its parent. One whose parent no training row shows fits every class, and every class fits
        with one that no training row divides: nothing is known that they would contradict.
        """
        parents = np.array(self.parents[level - 1])
        allowed = np.asarray(parents[None, :] == np.arange(coarse)[:, None])
        allowed[:, parents < 0] = True
        allowed[~np.isin(np.arange(coarse), parents)] = True
        return allowed

    def contradictions(self, chosen: list[np.ndarray], sizes: list[int]) -> np.ndarray:
        """Return which rows have a class that does not belong to the one of the level before.

        Parameters
        ----------
        chosen : list of ndarray of int, shape (n,)
            Class numbers by level.
        sizes : list of int
            The number of classes by level.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        wrong = np.zeros(len(chosen[0]), bool)
        for level in range(1, len(self.levels)):
            wrong |= ~self._allowed(level, sizes[level - 1])[chosen[level - 1], chosen[level]]
        return wrong

    def best_path(self, probabilities: list[np.ndarray]) -> list[np.ndarray]:
        """Return the classes, one of each level, that fit and are the most probable together.

        The path c_1, …, c_k is the argmax of Σ_l log p_l(c_l) over all paths in which every class belongs to the one
        before it, found exactly by dynamic programming: s_l(c) = log p_l(c) + max over b that c may stand below of
        s_{l−1}(b). The levels' probabilities are taken as independent, which is what their heads say.

        Parameters
        ----------
        probabilities : list of ndarray of shape (n, classes)
            By level.

        Returns
        -------
        list of ndarray of int, shape (n,)
        """
        logs = [np.log(np.maximum(probability, 1e-300)) for probability in probabilities]
        best, came = logs[0], []
        for level in range(1, len(logs)):
            allowed = self._allowed(level, best.shape[1])
            above = np.empty(logs[level].shape, "int64")
            for fine in range(above.shape[1]):
                candidates = np.flatnonzero(allowed[:, fine])
                above[:, fine] = candidates[best[:, candidates].argmax(1)]
            came.append(above)
            best = logs[level] + np.take_along_axis(best, above, 1)
        path = [best.argmax(1)]
        for above in reversed(came):
            path.insert(0, above[np.arange(len(above)), path[0]])
        return path


def learn_hierarchy(
    mode: Mode,
    levels: list[str] | None,
    tasks: Mapping[str, Task],
    targets: Mapping[str, Target],
    notice: Callable[[str], None],
) -> Hierarchy | None:
    """Learn from training labels which class belongs to which.

    Parameters
    ----------
    mode : {"report", "enforce", "none"}
    levels : list of str, optional
        Coarse to fine. Where None: the longest chain of multiclass tasks, in their order, of which each nests in the
        one before: rows of one class of it are of one class of that.
    tasks, targets : mappings
        Fitted tasks, and their encoded training labels.
    notice : callable
        Told of given levels that do not nest: a class then belongs where most of its rows are.

    Returns
    -------
    Hierarchy or None
        None where there are no two levels.

    Raises
    ------
    UserError
        If given levels are no tree for more than half of the rows.
    """
    classes = [name for name, task in tasks.items() if task.kind == "multiclass"]
    chosen = _longest_chain(classes, tasks, targets) if levels is None else levels
    if mode == "none" or len(chosen) < 2:
        return None
    parents = []
    for coarse, fine in pairwise(chosen):
        counts = _together(coarse, fine, tasks, targets)
        parents.append([int(parent) if n else -1 for parent, n in zip(counts.argmax(0), counts.sum(0), strict=True)])
        others, rows = int(counts.sum() - counts.max(0).sum()), int(counts.sum())
        if 2 * others > rows:
            what = f"no tree: {others} of {rows} training rows have a {coarse} that most rows of their {fine} have not"
            turned = counts.max(1).sum() > counts.max(0).sum()
            hint = f"coarse to fine: [{fine}, {coarse}]" if turned else f"leave out {coarse} or {fine}"
            raise UserError("dataset.levels", what, hint)
        if others:
            notice(f"{others} of {rows} training rows have a {coarse} that most rows of their {fine} have not")
    return Hierarchy(mode, list(chosen), parents)


def _together(coarse: str, fine: str, tasks: Mapping[str, Task], targets: Mapping[str, Target]) -> np.ndarray:
    """Return how many rows have each pair of classes, (coarse, fine)."""
    both = targets[coarse].mask & targets[fine].mask
    shape = (tasks[coarse].outputs, tasks[fine].outputs)
    index = np.ravel_multi_index((targets[coarse].values[both], targets[fine].values[both]), shape)
    return np.bincount(index, minlength=shape[0] * shape[1]).reshape(shape)


def _longest_chain(names: list[str], tasks: Mapping[str, Task], targets: Mapping[str, Target]) -> list[str]:
    chains: dict[str, list[str]] = {}
    for i, fine in enumerate(names):
        ends = [chains[c] for c in names[:i] if ((_together(c, fine, tasks, targets) > 0).sum(0) <= 1).all()]
        chains[fine] = [*max(ends, key=len, default=[]), fine]
    return max(chains.values(), key=len, default=[])
