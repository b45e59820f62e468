"""Group lasso: units of the representation that no task needs are switched off for all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.registry import component
from mtl_cli.models.regularizer import Regularizer, RegularizerConfig, Training

if TYPE_CHECKING:
    import torch
    from torch import nn


@component("regularizer", "group_lasso")
@dataclass(frozen=True, kw_only=True)
class GroupLasso(RegularizerConfig):
    """λ ‖W‖_{2,1} = λ Σ_j ‖W_:j‖, over the columns of the tasks' stacked weights.

    W is as for the nuclear norm: the weights of the heads' last linear layers, a row for each output of each task. A
    group is what all tasks make of one unit j that these layers read; with ``model.trunk.hidden=[]`` a unit is an
    input, and the term selects features for all tasks at once. Biases are left out. Yuan & Lin (JRSS B 2006, doi
    10.1111/j.1467-9868.2005.00532.x), for tasks Obozinski, Taskar & Jordan (Statistics and Computing 2010, doi
    10.1007/s11222-008-9111-x). All groups are of one size, so the root of the size that Yuan & Lin multiply by is left
    to λ.

    After each of the optimizer's steps, W_:j ← max(1 − ηλ / ‖W_:j‖, 0) W_:j, the proximal step: columns become exactly
    0. η is the learning rate, over 1 − momentum where the optimizer has one. With Adam the threshold is ηλ whatever the
    gradients' size, as in its decoupled weight decay.

    Parameters
    ----------
    strength : float
        λ.
    """

    strength: NonNegativeFloat = 0.3

    compares_heads: ClassVar[bool] = True

    def build(self, training: Training) -> Regularizer:
        from mtl_cli.models.task_weights import check_widths, task_weights

        weights = task_weights(training.network.heads)
        check_widths(weights, "group_lasso")
        return _Columns(list(weights.values()), self.strength)


class _Columns(Regularizer):
    proximal = True

    def __init__(self, weights: list[nn.Parameter], strength: float) -> None:
        self._weights, self._strength = weights, strength

    def weights(self) -> list[nn.Parameter]:
        return self._weights

    def penalty(self, present: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        from mtl_cli.models.task_weights import stacked

        norms: torch.Tensor = torch.linalg.vector_norm(stacked(self._weights), dim=0)
        return self._strength * norms.sum()

    def proximal_step(self, lr: float) -> None:
        from mtl_cli.models.task_weights import stacked

        factors = column_factors(stacked(self._weights), lr * self._strength)
        for weight in self._weights:
            weight.mul_(factors)


def column_factors(matrix: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return max(1 − threshold / ‖column‖, 0) for each column; 0 for one that is 0."""
    import torch

    norms = torch.linalg.vector_norm(matrix, dim=0)
    return torch.clamp(1 - threshold / norms.clamp(min=1e-30), min=0)
