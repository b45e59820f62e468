"""The contract between the training step and the methods that weigh the tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    import torch

Needs = Literal["losses", "norms"]
State = Mapping[str, "torch.Tensor"]
"""What a method remembers between steps: tensors only, so that it can be saved and moved."""


@dataclass(frozen=True)
class Observed:
    """What a method sees of one step. T is the number of tasks.

    Parameters
    ----------
    losses : Tensor of shape (T,)
        Detached.
    present : Tensor of bool, shape (T,), optional
        Which tasks have a label in this batch; None says all have.
    norms : Tensor of shape (T,), optional
        ‖∇_W L_t‖ of the unweighted losses at the weight W of the last shared layer; for methods that need ``norms``.
    """

    losses: torch.Tensor
    present: torch.Tensor | None = None
    norms: torch.Tensor | None = None


@dataclass(frozen=True)
class Weighing:
    """What a method decides in one step.

    Parameters
    ----------
    weights : Tensor of shape (T,)
        The weights that this step uses.
    state : dict of str to Tensor
        For the next step.
    seen : dict of str to Tensor
        What it went by, each of shape (T,); written beside the weights as ``<name>_<task>``.
    """

    weights: torch.Tensor
    state: State
    seen: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """A method: its settings as fields, and two functions without side effects.

    Parameters
    ----------
    heads : {"weighted", "unit"}
        Whether heads are trained on w_t L_t or on L_t. The trunk always gets the gradient of Σ w_t L_t.
    """

    heads: Literal["weighted", "unit"] = "weighted"

    needs: ClassVar[Needs]

    def start(self, tasks: list[str], device: torch.device) -> State:
        """Return the state before the first step."""
        raise NotImplementedError

    def weigh(self, state: State, observed: Observed) -> Weighing:
        """Return this step's weights and the next state, without a gradient and without waiting for the device."""
        raise NotImplementedError
