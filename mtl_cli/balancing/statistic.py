"""The contract of statistics: what a balancer may need of the tasks' gradients beside norms, Gramian and Jacobian."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.boundary import HeadBoundary
    from mtl_cli.balancing.gradients.reference import Reference


class Statistic(ABC):
    """A statistic of the tasks' gradients, made without arguments and registered under the name that ``needs`` says.

    ``mtl_cli.balancing.gradients.reference.passes`` gives the gradients on any tensors of the model.
    """

    degree: ClassVar[int] = 1
    """If all losses are multiplied by c, it is by c to this power: 1 for norms, 2 for products, 0 for cosines. The
    losses' scale under float16 is taken out by it."""

    @abstractmethod
    def compute(self, gradients: Reference, boundary: HeadBoundary) -> torch.Tensor:
        """Return the statistic of one step, shape (T, …), without waiting for the device; the graph is to be kept.

        Parameters
        ----------
        gradients : Reference
            Has the model, its shared parameters, and the norms, Gramian and Jacobian if they are asked for.
        boundary : HeadBoundary
            Between trunk and heads, with the losses' gradients at the representations.
        """
