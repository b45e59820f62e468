"""The nuclear norm of all tasks' weights: tasks that need few directions in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.registry import component
from mtl_cli.models.regularizer import Regularizer, RegularizerConfig, Training

if TYPE_CHECKING:
    import torch
    from torch import nn


@component("regularizer", "nuclear")
@dataclass(frozen=True, kw_only=True)
class NuclearNorm(RegularizerConfig):
    """λ ‖W‖_* = λ Σ_i σ_i(W), the sum of the singular values, whose least is a W of low rank.

    W is the weights of the heads' last linear layers, one below the other: a row for each output of each task, a column
    for each unit that these layers read, all heads' last layers reading equally many. Biases are left out. Ji & Ye
    (ICML 2009, doi 10.1145/1553374.1553434) and Pong, Tseng, Ji & Ye (SIAM J. Optimization 2010, doi 10.1137/090763184)
    learn linear tasks so; with a trunk, W stands on the representation that the tasks share.

    Parameters
    ----------
    strength : float
        λ.
    method : {"proximal", "subgradient"}
        Proximal: after each of the optimizer's steps, of size η, W ← U max(Σ − ηλ, 0) Vᵀ, the singular values of W =
        U Σ Vᵀ soft-thresholded. Values become exactly 0, and the rank falls: this is the default. Subgradient: λ
        U Vᵀ over the values above 1e-6 of the largest is added to the gradient; small values then hover about 0, but
        the term goes through the optimizer as the losses do.

    Notes
    -----
    η is the learning rate, over 1 − momentum where the optimizer has one. With plain gradient descent that is the
    proximal gradient method that Ji & Ye, and Pong et al., start from and accelerate, and λ has the losses' units. With
    Adam the threshold is ηλ whatever the gradients' size, as in its decoupled weight decay: choose λ anew (0.1 to 10).
    The singular values of a matrix on CUDA make the host wait for the device, once a step.
    """

    strength: NonNegativeFloat = 1.0
    method: Literal["proximal", "subgradient"] = "proximal"

    compares_heads: ClassVar[bool] = True

    def build(self, training: Training) -> Regularizer:
        from mtl_cli.models.task_weights import check_widths, task_weights

        weights = task_weights(training.network.heads)
        check_widths(weights, "nuclear")
        return _Nuclear(list(weights.values()), self.strength, self.method == "proximal")


class _Nuclear(Regularizer):
    def __init__(self, weights: list[nn.Parameter], strength: float, proximal: bool) -> None:
        self._weights, self._strength, self.proximal = weights, strength, proximal

    def weights(self) -> list[nn.Parameter]:
        return self._weights

    def penalty(self, present: torch.Tensor | None = None) -> torch.Tensor:
        from mtl_cli.models.task_weights import stacked

        return self._strength * nuclear_norm(stacked(self._weights))

    def proximal_step(self, lr: float) -> None:
        import torch

        from mtl_cli.models.task_weights import stacked

        shrunk = soft_threshold(stacked(self._weights), lr * self._strength)
        rows = torch.split_with_sizes(shrunk, [len(weight) for weight in self._weights])
        torch._foreach_copy_([*self._weights], rows)


def nuclear_norm(matrix: torch.Tensor) -> torch.Tensor:
    """Return Σ σ_i; its gradient is U Vᵀ over the singular values above 1e-6 of the largest, a subgradient."""
    import torch

    left, values, right = torch.linalg.svd(_finite(matrix.detach()), full_matrices=False)
    kept = values > 1e-6 * values[0]
    sign: torch.Tensor = (left * kept) @ right
    return torch.sum(matrix * sign)


def soft_threshold(matrix: torch.Tensor, threshold: float) -> torch.Tensor:
    """Return U max(Σ − threshold, 0) Vᵀ of a matrix U Σ Vᵀ: argmin_V ½‖V − matrix‖² + threshold ‖V‖_*."""
    import torch

    left, values, right = torch.linalg.svd(_finite(matrix), full_matrices=False)
    shrunk = (left * (values - threshold).clamp(min=0)) @ right
    return torch.where(torch.isfinite(matrix).all(), shrunk, matrix)


def _finite(matrix: torch.Tensor) -> torch.Tensor:
    """Return zeros for a matrix that is not finite: it has no singular values, and the run ends at the epoch's end."""
    import torch

    return torch.where(torch.isfinite(matrix).all(), matrix, 0.0)
