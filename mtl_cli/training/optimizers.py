"""The optimizers that a config may name; torch's own, fused where there is a fused kernel."""

from __future__ import annotations

import functools
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from mtl_cli.config.convert import Bound, NonNegativeFloat, PositiveFloat, Probability
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.runs.forms import Form, Some

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
    """Return torch's optimizer class without its import of torch's compiler, which takes about a second.

    torch imports the compiler when an optimizer is made, and again when it is stepped or its state is kept, only to
    tell it not to look inside. Nothing here is compiled, so the functions that it would return unchanged are put in
    their place. Where a version of torch has no such wrappers, its class is used as it is.
    """
    import torch

    add = getattr(optimizer.add_param_group, "__wrapped__", None)
    if add is None:
        return optimizer  # type: ignore[no-any-return]
    add.__dict__.setdefault("__dynamo_disable", add)
    step = torch.no_grad()(inspect.unwrap(optimizer.step))
    kept = {name: inspect.unwrap(getattr(optimizer, name)) for name in ("state_dict", "load_state_dict")}
    return type(optimizer.__name__, (optimizer,), {"step": step, **kept})


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(ABC):
    """An optimizer: its settings as fields.

    Parameters
    ----------
    lr : float
        The learning rate.
    lr_scale : LearningRates
        Of the network's parts, as multiples of it.
    """

    lr: PositiveFloat = 1e-3
    lr_scale: LearningRates = field(default_factory=LearningRates)

    elementwise: ClassVar[bool] = False
    """Whether each number is moved by its own gradients alone: then parameters may be given it in any shape."""

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong with these keys for tasks of these names."""
        yield from ()

    def form(self, optimizer: Optimizer, device: torch.device) -> Form:
        """Return what any state of this optimizer is like, as one of a single number shows after a step."""
        import torch

        saved = optimizer.state_dict()
        one = torch.nn.Parameter(torch.zeros(1, device=device))
        one.grad = torch.zeros_like(one)
        small = self.build([one], device)
        small.step()
        kept = small.state_dict()["state"].get(0, {}).items()
        whole = {name: isinstance(value, torch.Tensor) and value.shape == one.shape for name, value in kept}
        state = {
            place: {name: parameter if whole[name] else value for name, value in kept}
            for place, parameter in enumerate(p for group in optimizer.param_groups for p in group["params"])
        }
        return {**saved, "state": Some(state)}

    @abstractmethod
    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        """Return the optimizer of a network's parameters."""


@component("optimizer", "adam")
@dataclass(frozen=True, kw_only=True)
class Adam(OptimizerConfig):
    """Adam; weight decay is added to the gradient."""

    weight_decay: NonNegativeFloat = 0.0
    betas: tuple[Probability, Probability] = (0.9, 0.999)

    elementwise: ClassVar[bool] = True

    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        from torch import optim

        return _light(optim.Adam)(parameters, self.lr, self.betas, weight_decay=self.weight_decay, fused=_fused(device))


@component("optimizer", "adamw")
@dataclass(frozen=True, kw_only=True)
class AdamW(OptimizerConfig):
    """Adam with decoupled weight decay."""

    weight_decay: NonNegativeFloat = 0.01
    betas: tuple[Probability, Probability] = (0.9, 0.999)

    elementwise: ClassVar[bool] = True

    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        from torch import optim

        return _light(optim.AdamW)(
            parameters, self.lr, self.betas, weight_decay=self.weight_decay, fused=_fused(device)
        )


@component("optimizer", "sgd")
@dataclass(frozen=True, kw_only=True)
class SGD(OptimizerConfig):
    """Stochastic gradient descent with momentum."""

    lr: PositiveFloat = 0.02
    weight_decay: NonNegativeFloat = 0.0
    momentum: Probability = 0.9
    nesterov: bool = True

    elementwise: ClassVar[bool] = True

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
class RMSprop(OptimizerConfig):
    """RMSprop; ``smoothing`` is of the running mean of squared gradients."""

    weight_decay: NonNegativeFloat = 0.0
    smoothing: Probability = 0.99
    momentum: Probability = 0.0

    elementwise: ClassVar[bool] = True

    def build(self, parameters: Parameters, device: torch.device) -> Optimizer:
        from torch import optim

        return _light(optim.RMSprop)(
            parameters, self.lr, self.smoothing, weight_decay=self.weight_decay, momentum=self.momentum
        )
