"""``balancer.scale: sum``: weights of the same total, whatever the method, so that one learning rate suits all."""

from __future__ import annotations

import torch

from mtl_cli.balancing.base import Decision


def to_sum(decision: Decision, present: torch.Tensor) -> Decision:
    """Scale a decision so that the weights of the tasks present sum to their number, if their sum is above 0."""
    weights, columns, direction = decision.weights, decision.columns, decision.direction
    total = weights.where(present, 0.0).sum(-1, keepdim=True)
    factor = torch.where(total > 0, present.sum(-1, keepdim=True) / total, 1.0)
    return decision._replace(
        weights=weights * factor,
        columns={**columns, "norm": columns["norm"] * factor} if "norm" in columns else columns,  # of w_t L_t
        direction=None if direction is None else direction * factor,
    )
