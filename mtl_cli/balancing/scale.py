"""``balancer.scale: sum``: weights of one size, whatever the method, so that one learning rate suits all."""

from __future__ import annotations

import torch

from mtl_cli.balancing.balancer import Weighing


def to_sum(weighing: Weighing, present: torch.Tensor | None) -> Weighing:
    """Bring the weights of the tasks present to sum to their number, if their sum is above 0, and all that has them."""
    weights, seen, direction = weighing.weights, weighing.seen, weighing.direction
    total = (weights if present is None else weights.where(present, 0.0)).sum()
    factor = torch.where(total > 0, (len(weights) if present is None else present.sum()) / total, 1.0)
    return weighing._replace(
        weights=weights * factor,
        seen={**seen, "norm": seen["norm"] * factor} if "norm" in seen else seen,  # of the weighted losses
        direction=None if direction is None else direction * factor,
    )
