"""What a balancer needs to see of a step, by its ``needs`` and its ``geometry``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import torch

from mtl_cli.balancing.base import Balancer
from mtl_cli.balancing.cut import Cut
from mtl_cli.balancing.geometry import Geometry, TaskGradients, scatter
from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import Inputs


class SharedModel(Protocol):
    """What the step needs of a model.

    It may also have a method ``stack``, which returns the modules that, one after the other, make up
    ``representations``, or None if that is more.
    """

    heads: dict[str, torch.nn.Module]

    @property
    def last_shared_layers(self) -> list[torch.nn.Module]:
        """The last layers with a weight that every task's gradient passes through."""

    def modules(self) -> Iterator[torch.nn.Module]:
        """Return all modules, the heads' too."""

    def representations(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation that each task's head reads."""

    def shared_parameters(self) -> list[torch.nn.Parameter]:
        """Return the parameters that the gradients of two tasks or more reach."""

    def head_parameters(self, task: str) -> list[torch.nn.Parameter]:
        """Return the parameters that only ``task`` uses."""


class Seen(NamedTuple):
    """What was seen, as ``StepStatistics`` has it, and what the gradient can be put together from."""

    norms: torch.Tensor | None = None
    gramian: torch.Tensor | None = None
    jacobian: torch.Tensor | None = None
    gradients: TaskGradients | None = None

    @property
    def sizes(self) -> torch.Tensor | None:
        """Numbers that are finite where the tasks' gradients are, shape (T,); None if nothing was seen."""
        return self.norms if self.gramian is None else self.gramian.diagonal()

    def divided(self, scale: float) -> Seen:
        """Return what would be seen of losses smaller by this factor; the gradients stay as they are."""
        return self._replace(
            norms=None if self.norms is None else self.norms / scale,
            gramian=None if self.gramian is None else self.gramian / scale / scale,
            jacobian=None if self.jacobian is None else self.jacobian / scale,
        )


NOTHING = Seen()


class Look:
    """Runs the model below the cut for a balancer that looks at gradients.

    Parameters
    ----------
    model : SharedModel
    balancer : Balancer, optional
        None, or one that needs only losses, sees nothing.

    Raises
    ------
    UserError
        If the balancer looks at gradients on shared layers, and the model has none.
    """

    def __init__(self, model: SharedModel, balancer: Balancer | None) -> None:
        self._model, self._needs = model, "losses" if balancer is None else balancer.needs
        self._at_representation = balancer is not None and balancer.at_representation
        if self._needs == "norms" and not model.last_shared_layers:
            raise _nothing_shared("the last shared layer")
        if self._needs != "losses" and not model.shared_parameters():
            raise _nothing_shared("shared parameters")
        theirs = {id(module) for head in model.heads.values() for module in head.modules()}
        below = [module for module in model.modules() if id(module) not in theirs]
        if self._needs == "losses" or (self._needs != "norms" and self._at_representation):
            below = []  # nothing is asked of them
        stack = getattr(model, "stack", None)
        self._geometry = Geometry(below, model.shared_parameters(), stack() if stack is not None else None)

    def forward(self, inputs: Inputs) -> Cut:
        """Run the model up to the heads' outputs."""
        return Cut(self._geometry.forward(self._model, inputs), self._model.heads)

    def see(self, cut: Cut) -> Seen:
        """Return what the balancer needs, once the cut has its gradients. To be called without gradients."""
        if self._needs == "losses":
            return NOTHING
        if self._needs == "norms":
            return Seen(norms=self._geometry.norms(cut.roots(), len(cut.outputs), self._model.last_shared_layers))
        if self._at_representation:
            return Seen(gramian=cut.gramian(), jacobian=cut.rows() if self._needs == "jacobian" else None)
        roots, tasks = cut.roots(), len(cut.outputs)
        gramian, kept = self._geometry.gramian(roots, tasks, keep=self._needs == "jacobian")
        jacobian = None
        if kept is not None and self._needs == "jacobian":
            jacobian = kept.jacobian(self._geometry.parameters, tasks)
        return Seen(gramian=gramian, jacobian=jacobian, gradients=kept)

    def send_back(self, cut: Cut, seen: Seen, weights: torch.Tensor, direction: torch.Tensor | None) -> None:
        """Add Σ_t w_t g_t, or a direction in its place, to ``.grad`` below the cut. To be called without gradients."""
        if seen.gradients is not None:
            seen.gradients.accumulate(weights, shared=direction is None)
            if direction is not None:
                scatter(self._geometry.parameters, direction)
        else:
            self._geometry.backward(cut.weighted(weights) if direction is None else cut.directed(direction))


def check_heads(model: SharedModel) -> None:
    """Raise UserError if two heads have a parameter in common: the cut would train it on their sum, twice."""
    found: set[int] = set()
    for name, head in model.heads.items():
        own = {id(parameter) for parameter in head.parameters()}
        if found & own:
            what = "has a parameter of another head, and this method treats heads apart"
            raise UserError(f"model.heads.{name}", what, "balancer=uniform")
        found |= own


def _nothing_shared(where: str) -> UserError:
    what = f"this method looks at the tasks' gradients at {where}, and the model has none"
    return UserError("balancer", what, "share layers, or choose a method that needs losses only, such as balancer=famo")
