"""What the tasks of a model share: how alike their representations are, and how much one needs of another's.

- CKA, the linear one of Kornblith et al. 2019 (arXiv 1905.00414, equation 6), of the representations z_t over rows,
  and of the heads' outputs: 1 where both say the same up to rotation and scale. Under hard sharing z_t is one for all.
- Removal: Q is an orthonormal basis of the rows of A's first head layer, all that A reads of z. Task B is predicted
  from z − (z − mean z) Q Qᵀ; how much skill B loses, and how much it loses on average without as many directions drawn
  at random.
- Gradient cosines as the balancer saw them in training, from the weights file, where it looks at gradients.
"""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.inference.evaluate import answered
from mtl_cli.inference.explain.rows import Explained
from mtl_cli.inference.members import average, calibrated
from mtl_cli.models.network import Network

RANDOM = 5
"""Bases that are drawn at random to compare with."""
MOST_ROWS = 5000
"""Whose representations are compared."""


@dataclass(frozen=True)
class Pair:
    """What two tasks have in common.

    Parameters
    ----------
    first, second : str
    cka, cka_outputs : float
        Of the representations that their heads read, and of the heads' outputs.
    one_representation : bool
        Whether both heads read the same.
    first_loses, second_loses : float
        Skill lost without the directions that the other's head reads.
    first_random, second_random : float
        Skill lost without as many directions drawn at random.
    early, middle, late : float
        The mean cosine of the tasks' gradients in each third of the training; NaN where it is not known.
    """

    first: str
    second: str
    cka: float
    cka_outputs: float
    one_representation: bool
    first_loses: float
    second_loses: float
    first_random: float
    second_random: float
    early: float = math.nan
    middle: float = math.nan
    late: float = math.nan


@torch.no_grad()
def shared(rows: Explained, weights_file: Path | None, seed: int = 0) -> list[Pair]:
    """Return what each pair of tasks has in common.

    Raises
    ------
    UserError
        If there is one task only, or the heads are no linear layers, so that what they read is not known.
    """
    names = list(rows.tasks)
    if len(names) < 2:
        raise UserError("--shared", f"'{names[0]}' is the only task with labels here", "it shares nothing")
    networks = [member.network for member in rows.model.members]
    represented = [_represented(network, rows) for network in networks]
    bases = [{name: basis(network, name) for name in names} for network in networks]
    random = torch.Generator().manual_seed(seed)
    lost = {pair: _lost(rows, represented, *pair, bases) for pair in permutations(names, 2)}
    alike = {}
    for b, a in permutations(names, 2):
        drawn = [[_drawn(own[a], random) for own in bases] for _ in range(RANDOM)]
        each = [_lost(rows, represented, b, a, [{a: q} for q in qs]) for qs in drawn]
        alike[b, a] = float(np.mean(each))
    cosines = {} if weights_file is None else gradient_cosines(weights_file, names)
    outputs = rows.outputs(rows.inputs)
    found = []
    for a, b in combinations(names, 2):
        both = [(_flat(z[a], rows), _flat(z[b], rows)) for z in represented]
        alone = [z[a] is z[b] for z in represented]
        own = (_flat(torch.from_numpy(outputs[a]), rows), _flat(torch.from_numpy(outputs[b]), rows))
        similar = float(np.mean([cka(x, y) for x, y in both]))
        early, middle, late = cosines.get((a, b), (math.nan, math.nan, math.nan))
        found.append(
            Pair(
                a, b, similar, cka(*own), all(alone), lost[a, b], lost[b, a], alike[a, b], alike[b, a],
                early, middle, late,
            )
        )  # fmt: skip
    return found


def cka(x: torch.Tensor, y: torch.Tensor) -> float:
    """Return the linear CKA of two representations of the same rows, (n, p) and (n, q)."""
    x, y = x.double() - x.double().mean(0), y.double() - y.double().mean(0)
    return float((y.T @ x).square().sum() / (torch.linalg.norm(x.T @ x) * torch.linalg.norm(y.T @ y)))


def basis(network: Network, task: str) -> torch.Tensor:
    """Return an orthonormal basis, (width, directions), of what a task's head reads of its representation."""
    head = network.heads[task]
    first = head if isinstance(head, nn.Linear) else next(iter(head.children()), head)
    if not isinstance(first, nn.Linear):
        what = f"the head of {task} begins with {type(first).__name__}, no linear layer: what it reads is not known"
        raise UserError("--shared", what, "heads of model=mlp, cnn, resnet and sequence_cnn are linear")
    _, values, rows = torch.linalg.svd(first.weight.detach(), full_matrices=False)
    return rows[values > 1e-6 * values.max()].T


def gradient_cosines(file: Path, names: list[str]) -> dict[tuple[str, str], tuple[float, float, float]]:
    """Return the mean cosines of the thirds of a training by pair of tasks; nothing of those that no file has."""
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    found = {}
    for a, b in combinations(names, 2):
        column = next((c for c in (f"cosine_{a}_{b}", f"cosine_{b}_{a}") if rows and c in rows[0]), None)
        if column is None:
            continue
        steps = np.array([float(row["step"]) for row in rows])
        values = np.array([float(row[column] or "nan") for row in rows])
        third = np.minimum((3 * (steps - 1) / max(steps.max(), 1)).astype(int), 2)
        means = [values[(third == part) & ~np.isnan(values)] for part in range(3)]
        early, middle, late = (float(mean.mean()) if len(mean) else math.nan for mean in means)
        found[a, b] = (early, middle, late)
    return found


def _represented(network: Network, rows: Explained) -> dict[str, torch.Tensor]:
    return network.representations(rows.inputs.take(slice(0, len(rows.inputs))))


def _flat(z: torch.Tensor, rows: Explained) -> torch.Tensor:
    """Return a representation as one vector a row: of tokens their mean, of an ensemble's members side by side."""
    lengths = rows.inputs.lengths
    if z.dim() == 3 and lengths is not None:
        there = torch.arange(z.shape[1]) < torch.from_numpy(lengths).unsqueeze(1)
        z = z.nan_to_num().mul(there.unsqueeze(2)).sum(1) / there.sum(1, keepdim=True)
    return z.flatten(1)[:MOST_ROWS]


def _drawn(like: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    return torch.linalg.qr(torch.randn(like.shape, generator=random)).Q


def _lost(
    rows: Explained,
    represented: list[dict[str, torch.Tensor]],
    task: str,
    other: str,
    bases: list[dict[str, torch.Tensor]],
) -> float:
    """Return the skill that ``task`` loses without the directions ``bases[member][other]`` of its representation."""
    members, whole = rows.model.members, {task: rows.model.tasks[task]}
    kept = []
    for removes in (False, True):
        outputs = []
        for member, z, own in zip(members, represented, bases, strict=True):
            read = z[task]
            if removes:
                mean = read.flatten(0, -2).mean(0)
                read = read - (read - mean) @ own[other] @ own[other].T
            output = member.network.heads[task](read)
            merged = member.network.merges[task](output) if member.network.merges else output
            outputs.append({task: whole[task].in_own_units(_masked(merged, rows), member.tasks[task])})
        kept.append(calibrated(average(outputs, whole), whole)[task])
    target = rows.part.targets[task]
    there = np.flatnonzero(target.mask & answered(kept[0], rows.inputs.lengths))
    before, after = (rows.losses(task, output, there).skill for output in kept)
    return before - after


def _masked(output: torch.Tensor, rows: Explained) -> np.ndarray:
    """Return a head's output as it is measured: NaN beyond a row's end."""
    lengths = rows.inputs.lengths
    if output.dim() == 3 and lengths is not None:
        beyond = torch.arange(output.shape[1]) >= torch.from_numpy(lengths).unsqueeze(1)
        output = output.masked_fill(beyond.unsqueeze(2), math.nan)
    return output.numpy()
