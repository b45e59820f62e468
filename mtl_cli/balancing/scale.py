"""``balancer.scale: sum``: weights of one size, whatever the method, so that one learning rate suits all."""

from __future__ import annotations

import torch

from mtl_cli.balancing.base import Decision


def to_sum(decision: Decision, present: torch.Tensor | None) -> Decision:
    """Bring the weights of the tasks present to sum to their number, if their sum is above 0, and all that has them."""
    weights, seen, direction = decision.weights, decision.seen, decision.direction
    total = (weights if present is None else weights.where(present, 0.0)).sum()
    factor = torch.where(total > 0, (len(weights) if present is None else present.sum()) / total, 1.0)
    return decision._replace(
        weights=weights * factor,
        seen={**seen, "norm": seen["norm"] * factor} if "norm" in seen else seen,  # of the weighted losses
        direction=None if direction is None else direction * factor,
    )
