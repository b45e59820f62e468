"""The sum of the squared weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.registry import component
from mtl_cli.models.regularizer import Regularizer, RegularizerConfig, Training

if TYPE_CHECKING:
    import torch
    from torch import nn


@component("regularizer", "l2")
@dataclass(frozen=True, kw_only=True)
class L2(RegularizerConfig):
    """λ Σ w² over weight matrices and kernels.

    Ridge regression: Hoerl & Kennard, Technometrics 1970, doi 10.1080/00401706.1970.10488634. Biases and the scales of
    norm layers are left out. Unlike the optimizer's weight decay it is a term of the loss: it is reported, leaves
    biases alone, and under Adam is scaled like the losses' gradients. For one linear layer, squared error and n rows,
    the optimum is w = (XᵀX/n + λI)⁻¹ Xᵀy/n.

    Parameters
    ----------
    strength : float
        λ.
    part : {"all", "heads", "trunk"}
        Of which part of the network.
    """

    strength: NonNegativeFloat = 1e-3
    part: Literal["all", "heads", "trunk"] = "all"

    ties_tasks: ClassVar[bool] = False

    def build(self, training: Training) -> Regularizer | None:
        network = training.network
        heads = {id(p) for head in network.heads.values() for p in head.parameters()}
        weights = [p for name, p in network.named_parameters() if p.dim() > 1 and name.endswith("weight")]
        if self.part != "all":
            weights = [p for p in weights if (id(p) in heads) == (self.part == "heads")]
        return _SquaredWeights(weights, self.strength) if weights else None


class _SquaredWeights(Regularizer):
    """λ Σ w² over those of the weights that are trained now."""

    def __init__(self, weights: list[nn.Parameter], strength: float) -> None:
        self._weights, self._strength = weights, strength

    def weights(self) -> list[nn.Parameter]:
        return [weight for weight in self._weights if weight.requires_grad]

    def penalty(self, present: torch.Tensor | None = None) -> torch.Tensor:
        import torch

        weights = self.weights() or self._weights
        return self._strength * torch.stack([weight.square().sum() for weight in weights]).sum()
