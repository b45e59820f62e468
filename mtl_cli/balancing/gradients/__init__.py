"""What a balancer needs to know of the tasks' gradients, by the quickest way that is right for the model."""

from __future__ import annotations

from typing import NamedTuple

import torch

from mtl_cli.balancing.base import COSTS, Balancer
from mtl_cli.balancing.boundary import HeadBoundary
from mtl_cli.balancing.gradients.factored import Factored, wide_layers
from mtl_cli.balancing.gradients.mlp import Stack, is_plain_stack
from mtl_cli.balancing.gradients.reference import Reference, products
from mtl_cli.balancing.model import SharedModel
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components


class TaskGradients(NamedTuple):
    """What is known of the tasks' gradients, as ``StepStatistics`` has it; None for what nobody needs.

    ``degree`` is that of ``other``, as ``Statistic`` declares it.
    """

    norms: torch.Tensor | None = None
    gramian: torch.Tensor | None = None
    jacobian: torch.Tensor | None = None
    other: torch.Tensor | None = None
    degree: int = 1

    @property
    def sizes(self) -> torch.Tensor | None:
        """Numbers that are finite where the tasks' gradients are, shape (T,)."""
        if self.other is not None:
            return self.other.flatten(1).abs().amax(1) if self.other.dim() > 1 else self.other
        return self.norms if self.gramian is None else self.gramian.diagonal()

    def divided(self, scale: float) -> TaskGradients:
        """Return the same of losses smaller by this factor."""
        if scale == 1:
            return self
        degrees = (1, 2, 1, self.degree)
        known = zip(self._asdict().items(), degrees, strict=False)
        return self._replace(**{name: own / scale**degree for (name, own), degree in known if own is not None})


def task_gradients(backend: Reference, boundary: HeadBoundary, balancer: Balancer) -> TaskGradients:
    """Return what the balancer needs, of the gradients at the boundary or below it. The graph is kept."""
    if balancer.needs not in COSTS:
        statistic = components("statistic")[balancer.needs]()
        return TaskGradients(other=statistic.compute(backend, boundary), degree=statistic.degree)
    if balancer.needs == "norms":
        return TaskGradients(norms=backend.norms(boundary))
    if balancer.needs == "gramian" and not balancer.at_representation:
        return TaskGradients(gramian=backend.gramian(boundary))
    jacobian = boundary.flat() if balancer.at_representation else backend.jacobian(boundary)
    return TaskGradients(gramian=products(jacobian), jacobian=jacobian if balancer.needs == "jacobian" else None)


def choose_backend(model: SharedModel, balancer: Balancer, tasks: int) -> Reference:
    """Return the way that takes least time for such a model and balancer.

    Raises
    ------
    UserError
        If the balancer looks at gradients on shared layers, and the model has none.
    """
    if balancer.needs == "norms" and not model.last_shared_layers:
        raise _nothing_shared("the last shared layer")
    if balancer.needs != "losses" and not model.shared_parameters():
        raise _nothing_shared("shared parameters")
    if balancer.backend == "auto" and balancer.needs in ("norms", "gramian", "jacobian"):
        if is_plain_stack(model):
            return Stack(model)
        if balancer.needs == "gramian" and not balancer.at_representation and wide_layers(model, tasks):
            return Factored(model, tasks)
    return Reference(model)


def _nothing_shared(where: str) -> UserError:
    what = f"this method looks at the tasks' gradients at {where}, and the model has none"
    return UserError("balancer", what, "share layers, or choose a method that needs losses only, such as balancer=famo")
