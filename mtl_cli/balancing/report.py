"""What a Gramian of the tasks' gradients says, for the weights file."""

from __future__ import annotations

import torch

MOST_TASKS = 8
"""Up to this many tasks the cosines are written pair by pair."""


def gramian_columns(tasks: list[str], gramian: torch.Tensor) -> dict[str, float]:
    """Return norms, cosines, the share of conflicting pairs, and the condition number.

    Parameters
    ----------
    tasks : list of str
    gramian : Tensor of shape (T, T)
        Rows and columns of zeros are of tasks that sat the step out: NaN, and not counted among the pairs.

    Returns
    -------
    dict of str to float
        ``norm_<task>``; ``cosine_<a>_<b>`` for at most ``MOST_TASKS`` tasks; ``conflicts``, the share of pairs whose
        cosine is negative; ``condition``, the ratio of the largest and smallest eigenvalues, infinite if one is zero.
    """
    values = gramian.detach().double().cpu()
    norms = values.diagonal().clamp(min=0).sqrt()
    cosines = values / (norms[:, None] * norms[None, :])
    columns = {f"norm_{name}": norm for name, norm in zip(tasks, norms.tolist(), strict=True)}
    first, second = torch.triu_indices(len(tasks), len(tasks), 1)
    pairs = cosines[first, second]
    if len(tasks) <= MOST_TASKS:
        ends = zip(first.tolist(), second.tolist(), pairs.tolist(), strict=True)
        columns |= {f"cosine_{tasks[a]}_{tasks[b]}": cosine for a, b, cosine in ends}
    known = pairs[~pairs.isnan()]
    columns["conflicts"] = float((known < 0).double().mean()) if len(known) else float("nan")
    present = norms > 0
    eigenvalues = torch.linalg.eigvalsh(values[present][:, present])
    columns["condition"] = _condition(eigenvalues)
    return columns


def _condition(eigenvalues: torch.Tensor) -> float:
    """Return the largest over the smallest; below rounding the smallest counts as zero."""
    if not len(eigenvalues):
        return float("nan")
    smallest, largest = float(eigenvalues[0]), float(eigenvalues[-1])
    return largest / smallest if smallest > largest * torch.finfo(torch.float32).eps else float("inf")
