"""The contract between the training step and the methods that weigh the tasks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from mtl_cli.config.convert import NonNegativeFloat, PositiveInt
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import name_of

if TYPE_CHECKING:
    import torch

Needs = Literal["losses", "norms", "gramian", "jacobian"]
State = Mapping[str, "torch.Tensor"]
"""What a method remembers between steps: tensors only, so that it can be saved and moved."""

COSTS: dict[Needs, str] = {
    "losses": "a plain step",
    "norms": "and T gradients at the last shared layer",
    "gramian": "and T gradients, layer by layer",
    "jacobian": "and T gradients, all in memory",
}
"""What a step costs a method, by what it needs."""


class StepStatistics(NamedTuple):
    """What a method sees of one step. T is the number of tasks, P that of the shared parameters.

    Parameters
    ----------
    losses : Tensor of shape (T,)
        Detached, with the tasks' own weights applied. 0 for a task that is absent.
    present : Tensor of bool, shape (T,), optional
        Which tasks have a label in this batch; None says all have.
    norms : Tensor of shape (T,), optional
        ‖∇_W L_t‖ of the unweighted losses at the weight W of the last shared layer; for methods that need ``norms``.
    gramian : Tensor of shape (T, T), optional
        g_s · g_t of the unweighted losses' gradients on the shared parameters, or at the representation z under
        ``geometry: representation``. Rows and columns of absent tasks are zero.
    jacobian : Tensor of shape (T, P), optional
        The gradients g_t themselves, for methods that need ``jacobian``. Rows of absent tasks are zero.
    epoch : int
        From 1.
    step : int
        From 0, over the whole run.
    generator : torch.Generator, optional
        Seeded and on the CPU, for methods that draw.
    """

    losses: torch.Tensor
    present: torch.Tensor | None = None
    norms: torch.Tensor | None = None
    gramian: torch.Tensor | None = None
    jacobian: torch.Tensor | None = None
    epoch: int = 1
    step: int = 0
    generator: torch.Generator | None = None


class Decision(NamedTuple):
    """What a method decides in one step.

    Parameters
    ----------
    weights : Tensor of shape (T,)
        The weights that this step uses.
    state : dict of str to Tensor
        For the next step.
    seen : dict of str to Tensor
        What it went by, each of shape (T,); written beside the weights as ``<name>_<task>``.
    direction : Tensor of shape (P,), optional
        The shared parameters' gradient, from a method that is no weighting: it replaces Σ_t w_t g_t.
    head_weights : Tensor of shape (T,), optional
        What ``heads: unit`` trains the heads with, from a method whose heads have weights of their own; None says 1.
    """

    weights: torch.Tensor
    state: State
    seen: State = MappingProxyType({})
    direction: torch.Tensor | None = None
    head_weights: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """A method: its settings as fields, and functions without side effects.

    Parameters
    ----------
    heads : {"weighted", "unit"}
        Whether heads are trained on w_t L_t or on L_t. The trunk always gets the gradient of Σ w_t L_t.
    scale : {"paper", "sum"}
        Keep the size of the weights as the paper has it, or bring their sum over the tasks present to their number, so
        that one learning rate suits every method.
    update_every : int
        Weigh anew every so many steps and keep the weights in between; methods that need only losses always weigh.
    shift : float
        Added to every loss that the method sees; only for methods that need positive or nonnegative losses.
    """

    heads: Literal["weighted", "unit"] = "weighted"
    scale: Literal["paper", "sum"] = "paper"
    update_every: PositiveInt = 1
    shift: NonNegativeFloat = 0.0

    needs: ClassVar[Needs]
    needs_losses: ClassVar[Literal["any", "nonnegative", "positive"]] = "any"
    """Which losses make sense to the method; ``shift`` is for those that need other than any."""
    looks_ahead: ClassVar[bool] = False
    """Whether ``after`` wants the losses of the same batch once more, after the optimiser's step."""
    paper: ClassVar[str] = ""
    """Such as "Chen et al. 2018, arXiv 1711.02257"."""
    cost: ClassVar[str] = ""
    """What a step costs, in words; by default what its needs cost."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "cost" not in cls.__dict__ and "needs" in cls.__dict__:
            cls.cost = COSTS.get(cls.needs, cls.needs)

    @property
    def at_representation(self) -> bool:
        """Whether it reads gradients at one representation that all tasks share, not on the shared parameters."""
        return False

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong with these keys for tasks of these names."""
        if self.shift and self.needs_losses == "any":
            what = f"has no effect: balancer={name_of('balancer', self)} takes losses as they are"
            yield Problem("balancer.shift", what, "leave it out")

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        """Return the state before the first step; by default weights of 1."""
        import torch

        return {"weights": torch.ones(len(tasks), device=device)}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        """Return this step's weights and the next state, without a gradient.

        A method that needs losses or norms must not wait for the device; one that needs the Gramian may move its T × T
        numbers to the CPU.
        """
        raise NotImplementedError

    def after(self, state: State, losses: torch.Tensor) -> State:
        """Return the next state, given the same batch's losses after the optimiser's step, shape (T,)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class GramianBalancer(Balancer):
    """A method that turns the Gramian of the tasks' gradients into weights.

    Parameters
    ----------
    geometry : {"parameters", "representation"}
        Of the gradients on the shared parameters, exactly, or of those at the representation z, which is cheaper: an
        upper bound (Sener & Koltun 2018), and the same direction only where the trunk distorts nothing.
    """

    geometry: Literal["parameters", "representation"] = "parameters"

    needs: ClassVar[Needs] = "gramian"

    @property
    def at_representation(self) -> bool:
        return self.geometry == "representation"
