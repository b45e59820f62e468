"""The optimisers that a config may name; torch's own, fused where there is a fused kernel."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

from mtl_cli.config.convert import Bound, NonNegativeFloat, PositiveFloat, Probability
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch
    from torch.optim import Optimizer

Parameters = Iterable["torch.nn.Parameter"] | Iterable[dict[str, Any]]
"""All of a network's, or in groups with a learning rate each."""


@dataclass(frozen=True)
class LearningRates:
    """Learning rates of the network's parts, as multiples of ``lr``.

    Parameters
    ----------
    trunk : float
        Of the trunk. Well below 1 it changes what ``init_from`` brought little, while new heads learn fast.
    decay : float
        Each of the trunk's layers, from its last, has this times the rate of the layer above it (Howard & Ruder 2018,
        arXiv 1801.06146, section 3.2, who divide by 2.6).
    """

    trunk: PositiveFloat = 1.0
    decay: Annotated[float, Bound(above=0, at_most=1)] = 1.0


def _fused(device: torch.device) -> bool:
    return device.type in ("cpu", "cuda")


@functools.cache
def _light(optimizer: Any) -> Callable[..., Optimizer]:
    """Return torch's optimiser class without its import of torch's compiler, which takes about a second.

    torch imports the compiler when an optimiser is made, and again when it is stepped, only to tell it not to look
    inside. Nothing here is compiled, so the functions that it would return unchanged are put in their place. Where a
    version of torch has no such wrappers, its class is used as it is.
    """
    import torch

    add = getattr(optimizer.add_param_group, "__wrapped__", None)
    if add is None:
        return optimizer  # type: ignore[no-any-return]
    add.__dict__.setdefault("__dynamo_disable", add)
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    return type(optimizer.__name__, (optimizer,), {"step": step})


@component("optimizer", "adam")
@dataclass(frozen=True, kw_only=True)
class Adam:
    """Adam; weight decay is added to the gradient."""

    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    lr_scale: LearningRates = field(default_factory=LearningRates)

    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        from torch import optim

        return _light(optim.Adam)(parameters, self.lr, self.betas, weight_decay=self.weight_decay, fused=_fused(device))


@component("optimizer", "adamw")
@dataclass(frozen=True, kw_only=True)
class AdamW:
    """Adam with decoupled weight decay."""

    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.01
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    lr_scale: LearningRates = field(default_factory=LearningRates)

    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        from torch import optim

        return _light(optim.AdamW)(
            parameters, self.lr, self.betas, weight_decay=self.weight_decay, fused=_fused(device)
        )


@component("optimizer", "sgd")
@dataclass(frozen=True, kw_only=True)
class SGD:
    """Stochastic gradient descent with momentum."""

    lr: PositiveFloat = 0.02
    weight_decay: NonNegativeFloat = 0.0
    momentum: Probability = 0.9
    nesterov: bool = True
    lr_scale: LearningRates = field(default_factory=LearningRates)

    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        from torch import optim

        return _light(optim.SGD)(
            parameters,
            self.lr,
            self.momentum,
            weight_decay=self.weight_decay,
            nesterov=self.nesterov and self.momentum > 0,
            fused=_fused(device),
        )


@component("optimizer", "rmsprop")
@dataclass(frozen=True, kw_only=True)
class RMSprop:
    """RMSprop; ``smoothing`` is of the running mean of squared gradients."""

    lr: PositiveFloat = 1e-3
    weight_decay: NonNegativeFloat = 0.0
    smoothing: Probability = 0.99
    momentum: Probability = 0.0
    lr_scale: LearningRates = field(default_factory=LearningRates)

    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        from torch import optim

        return _light(optim.RMSprop)(
            parameters, self.lr, self.smoothing, weight_decay=self.weight_decay, momentum=self.momentum
        )
