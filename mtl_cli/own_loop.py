"""A training step around modules of one's own: a shared module, a head per task, and a loss function for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn

from mtl_cli.balancing.base import Balancer
from mtl_cli.balancing.model import SharedModel
from mtl_cli.balancing.result import StepResult
from mtl_cli.balancing.step import TrainingStep as Step
from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.config.registry import components
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import Inputs
from mtl_cli.tasks.task import Level

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From a head's output and the target to the loss of each row, such as ``nn.MSELoss(reduction="none")``."""


class OwnModel(SharedModel):
    """A shared module and heads, as what a training step needs of a model.

    Parameters
    ----------
    trunk : Module
        From the inputs to a representation that all heads read.
    heads : mapping of str to Module
    """

    def __init__(self, trunk: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        self.trunk, self.heads = trunk, dict(heads)

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The trunk's last layer with a weight matrix or kernel."""
        layers = [(module, dict(module.named_parameters(recurse=False))) for module in self.trunk.modules()]
        return [module for module, own in layers if "weight" in own and own["weight"].dim() > 1][-1:]

    def modules(self) -> Iterator[nn.Module]:
        return chain(self.trunk.modules(), *(head.modules() for head in self.heads.values()))

    def parameters(self) -> Iterator[nn.Parameter]:
        every = chain(self.trunk.parameters(), *(head.parameters() for head in self.heads.values()))
        return iter({id(parameter): parameter for parameter in every}.values())

    def representations(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        return dict.fromkeys(self.heads, self.trunk(inputs))

    def shared_parameters(self) -> list[nn.Parameter]:
        return list(self.trunk.parameters())

    def head_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.heads[task].parameters())

    def stack(self) -> list[nn.Module] | None:
        return list(self.trunk) if type(self.trunk) is nn.Sequential else None


@dataclass(frozen=True)
class OwnTask:
    """A task that is no more than a loss function.

    Parameters
    ----------
    name : str
    function : callable
    weight : float
    """

    name: str
    function: Loss
    weight: float = 1.0

    @property
    def level(self) -> Level:
        """What has a label."""
        return "row"

    @property
    def couples(self) -> bool:
        """Whether a row's loss depends on the other rows of its batch: not so."""
        return False

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of each row, (n,). Raises UserError if the function returns fewer numbers."""
        found = self.function(output, target)
        if found.dim() == 0 or len(found) != len(target):
            what = "its loss function returns no loss for each row"
            raise UserError(self.name, what, 'ask for them with reduction="none"')
        return found if found.dim() == 1 else found.flatten(1).mean(1)

    def batch_loss(
        self, output: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the loss of each row, (n,), and how much it counts."""
        return self.loss(output, target), counts


def own_batch(inputs: Inputs, targets: Mapping[str, torch.Tensor]) -> Batch:
    """Return a batch in which NaN, or a negative class, stands for a missing label."""
    filled: dict[str, torch.Tensor] = {}
    masks: dict[str, torch.Tensor | None] = {}
    for name, target in targets.items():
        missing = target.isnan() if target.is_floating_point() else target < 0
        rows = missing if missing.dim() == 1 else missing.flatten(1).any(1)
        filled[name] = target.masked_fill(missing, 0)
        masks[name] = (~rows).float()
    return Batch(inputs, filled, masks)


class TrainingStep(Step):
    """The step that `mtl train` takes, with ``around`` for modules of one's own."""

    @classmethod
    def around(
        cls,
        trunk: nn.Module,
        heads: Mapping[str, nn.Module],
        losses: Mapping[str, Loss],
        balancer: Balancer | str = "gradnorm",
        weights: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> TrainingStep:
        """Return a step around modules of one's own; ``backward`` then takes plain tensors.

        Parameters
        ----------
        trunk : Module
            The shared part: from inputs to a representation that all heads read.
        heads : mapping of str to Module
            By task.
        losses : mapping of str to callable
            ``(output, target) -> loss of each row``, such as ``nn.MSELoss(reduction="none")``.
        balancer : Balancer or str, default "gradnorm"
        weights : mapping of str to float, optional
            The tasks' own; 1 for those that are not named.
        seed : int
            Of the balancer's draws.

        Raises
        ------
        UserError
            If there is no such balancer, or a head has no loss.
        """
        known = components("balancer")
        if isinstance(balancer, str) and balancer not in known:
            raise UserError("balancer", f"there is no '{balancer}'", did_you_mean(balancer, known))
        if list(heads) != list(losses):
            raise UserError("losses", f"are of {list(losses)}, and the heads of {list(heads)}")
        made: Balancer = known[balancer]() if isinstance(balancer, str) else balancer
        tasks = {name: OwnTask(name, loss, (weights or {}).get(name, 1.0)) for name, loss in losses.items()}
        device = next((p.device for p in trunk.parameters()), torch.device("cpu"))
        return cls(OwnModel(trunk, heads), tasks, made, device, seed)

    def backward(self, inputs: Inputs, targets: Mapping[str, torch.Tensor], epoch: int = 1) -> StepResult:
        """Add a batch's gradients to ``.grad``; NaN, or a negative class, is a missing label."""
        return self(own_batch(inputs, targets), epoch)
