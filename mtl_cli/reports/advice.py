"""What a run's history says that its user should know: it was too short, learnt nothing, got worse, or one task ruled.

Each line names what was seen and, where there is one, the key that helps. Nothing here looks at the test rows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

Columns = Mapping[str, list[float]]
"""The columns of a CSV file of numbers, by name."""
FAR = 0.05
"""By how much a validation score must have been better to be worth a line."""
RULES = 0.999
"""The share of all weight from which one task is said to have taken it."""
LONGER = 5
"""How many times as many epochs are proposed."""


TRY = {
    "features": "trainer.baselines=[ridge,forest] shows whether other models learn from these features; or another"
    " optimizer.lr",
    "sequence": "try model.trunk.pooling=mean, model=esm2, or for a family of sequences that differ in little"
    " dataset.reference=SEQUENCE",
    "text": "try another optimizer.lr, or model=transformer",
    "image": "try optimizer.lr=1e-4, or model=resnet",
}
"""What to do where nothing was learnt, by kind of inputs."""
TRY_ANYWAY = "try another optimizer.lr, and see whether the labels belong to their rows"


def advice(
    tasks: Sequence[str], history: Columns, weights: Columns, epochs: int, stopping: bool, kind: str | None = None
) -> list[str]:
    """Return the lines that a run's history gives reason to, the most important one first.

    Parameters
    ----------
    tasks : sequence of str
    history : mapping of str to list of float
        The columns of ``mtl_history.csv``.
    weights : mapping of str to list of float
        Those of ``<balancer>_weights.csv``.
    epochs : int
        The most epochs that the run was to have.
    stopping : bool
        Whether the best epoch's weights were kept, as early stopping does.
    kind : str, optional
        What the network reads: "features", "sequence" …
    """
    return [*_course(history, epochs, stopping, kind), *ruler(tasks, weights)]


def _course(history: Columns, epochs: int, stopping: bool, kind: str | None) -> Iterator[str]:
    scores = [score if math.isfinite(score) else -math.inf for score in history.get("val_score", [])]
    if not scores or max(scores) == -math.inf:
        return
    best, last = scores.index(max(scores)) + 1, len(scores)
    if best == last == epochs:
        yield f"the best epoch was the last, {last}: trainer.epochs={LONGER * epochs} may help"
    elif max(scores) <= 0:
        what = f"no epoch was better than a constant prediction on the validation rows (best score {max(scores):.2g})"
        yield f"nothing was learnt: {what}; {TRY.get(kind or '', TRY_ANYWAY)}"
    elif not stopping and scores[best - 1] - scores[-1] > FAR:
        was, now = f"{scores[best - 1]:.4g}", f"{scores[-1]:.4g}"
        what = f"epoch {best} was far better than the last, whose weights were kept (validation score {was}, not {now})"
        yield f"{what}: early stopping is off; trainer.early_stopping.patience=30 keeps the best"


def ruler(tasks: Sequence[str], weights: Columns) -> Iterator[str]:
    """Say since when one task has had nearly all the weight, if it has to the end, and for some epochs."""
    columns = [weights.get(f"weight_{name}", []) for name in tasks]
    rows = min((len(column) for column in columns), default=0)
    if len(tasks) < 2 or rows < 2:
        return
    shares = [_largest([abs(column[row]) for column in columns]) for row in range(rows)]
    ruler = shares[-1][0]
    first = rows
    while first and shares[first - 1][0] == ruler and shares[first - 1][1] >= RULES:
        first -= 1
    if rows - first < 2:
        return
    least = min(share for _, share in shares[first:])
    shown = "over 99.99 %" if least >= 0.9999 else f"{math.floor(least * 1e4) / 100:.2f} %"
    since = f"since epoch {weights['epoch'][first]:.0f}" if "epoch" in weights else "to the end"
    yield f"task {tasks[ruler]} took {shown} of the weight {since}: the others hardly trained what is shared"


def _largest(values: list[float]) -> tuple[int, float]:
    """Return which value is the largest, and its share of all; a value that is not finite counts as none."""
    known = [value if math.isfinite(value) else 0.0 for value in values]
    total = sum(known)
    most = max(range(len(known)), key=known.__getitem__)
    return most, known[most] / total if total else 0.0
