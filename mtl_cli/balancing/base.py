"""The contract between the training step and the methods that weight the tasks."""

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

    from mtl_cli.balancing.solvers.linalg import Array, Indices

Needs = str
"""What a method needs of a step beside the losses: "losses" (nothing), "norms", "gramian", "jacobian", or the name of a
registered ``Statistic``."""
State = Mapping[str, "torch.Tensor"]
"""What a method remembers between steps: tensors only, so that it can be saved and moved."""

COSTS: dict[Needs, str] = {
    "losses": "a plain step",
    "norms": "and T gradients, last layer",
    "gramian": "and T gradients, layer by layer",
    "jacobian": "and T gradients, all in memory",
}
"""What a step costs a method, by what it needs."""


class StepStatistics(NamedTuple):
    """What a method sees of one step: tensors whose last dimensions are given here.

    Further dimensions before them stand for many models, trained side by side: then every tensor has them, those of
    the state too. T is the number of tasks, P that of the shared parameters.

    Parameters
    ----------
    losses : Tensor of shape (…, T)
        Detached, with the tasks' own weights and ``shift`` applied. Without meaning for a task that is absent.
    present : Tensor of bool, shape (…, T)
        Which tasks have a label in this batch.
    norms : Tensor of shape (…, T), optional
        ‖∇_W L_t‖ of the unweighted losses at the weight W of the last shared layer; for methods that need ``norms``.
    gramian : Tensor of shape (…, T, T), optional
        g_s · g_t of the unweighted losses' gradients on the shared parameters, or at the representation z if the
        balancer says ``at_representation``. Rows and columns of absent tasks are zero.
    jacobian : Tensor of shape (…, T, P), optional
        The gradients g_t themselves, for methods that need ``jacobian``. Rows of absent tasks are zero.
    draws : Tensor, optional
        What ``Balancer.draw`` returned for this step, for methods that draw.
    epoch : int
        From 1.
    step : int
        From 0, over the whole run.
    other : Tensor of shape (…, T, …), optional
        The ``Statistic`` of the unweighted losses' gradients that the method names in ``needs``.
    """

    losses: torch.Tensor
    present: torch.Tensor
    norms: torch.Tensor | None = None
    gramian: torch.Tensor | None = None
    jacobian: torch.Tensor | None = None
    draws: torch.Tensor | None = None
    epoch: int = 1
    step: int = 0
    other: torch.Tensor | None = None


class Decision(NamedTuple):
    """What a method decides in one step.

    Parameters
    ----------
    weights : Tensor of shape (…, T)
        The weights that this step uses.
    state : dict of str to Tensor
        For the next step.
    columns : dict of str to Tensor
        Further columns of the weights file, each of shape (…, T); written as ``<name>_<task>``.
    direction : Tensor of shape (…, P), optional
        The shared parameters' gradient, from a method that is not a weighting: it replaces Σ_t w_t g_t.
    head_weights : Tensor of shape (…, T), optional
        What ``heads: unit`` trains the heads with, from a method whose heads have weights of their own; None says 1.
    """

    weights: torch.Tensor
    state: State
    columns: State = MappingProxyType({})
    direction: torch.Tensor | None = None
    head_weights: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Balancer:
    """A balancing method: its settings as fields, and functions without side effects.

    Parameters
    ----------
    heads : {"weighted", "unit"}
        Whether heads are trained on w_t L_t or on L_t. The trunk always gets the gradient of Σ w_t L_t.
    scale : {"paper", "sum"}
        Keep the size of the weights as the paper has it, or bring their sum over the tasks present to their number, so
        that one learning rate suits every method.
    update_every : int
        Compute new weights every so many steps and keep them in between; methods that need only losses do so in each.
    shift : float
        Added to every loss that the method sees; only for methods that need positive or nonnegative losses.
    backend : {"auto", "reference"}
        How the tasks' gradients are computed: by the quickest way known for the model, or by a backward pass per task.
    """

    heads: Literal["weighted", "unit"] = "weighted"
    scale: Literal["paper", "sum"] = "paper"
    update_every: PositiveInt = 1
    shift: NonNegativeFloat = 0.0
    backend: Literal["auto", "reference"] = "auto"

    needs: ClassVar[Needs]
    needs_losses: ClassVar[Literal["any", "nonnegative", "positive"]] = "any"
    """The losses for which the method is defined; ``shift`` is for methods that are not defined for all."""
    looks_ahead: ClassVar[bool] = False
    """Whether ``after`` is to be told the losses of the same batch after the optimizer's step."""
    paper: ClassVar[str] = ""
    """Such as "Chen et al. 2018, arXiv 1711.02257"."""
    cost: ClassVar[str] = ""
    """What a step costs, in words; by default what its needs cost."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "cost" not in cls.__dict__ and "needs" in cls.__dict__:
            cls.cost = COSTS.get(cls.needs, f"and T gradients, for {cls.needs}")

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong with these keys for tasks of these names."""
        if self.shift and self.needs_losses == "any":
            what = f"has no effect: balancer={name_of('balancer', self)} takes losses as they are"
            yield Problem("balancer.shift", what, "leave it out")

    @property
    def at_representation(self) -> bool:
        """Whether it reads gradients at one representation that all tasks share, not on the shared parameters."""
        return False

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        """Return the state of one model before the first step; by default weights of 1."""
        import torch

        return {"weights": torch.ones(len(tasks), device=device)}

    def draw(
        self, tasks: int, parameters: int, device: torch.device, generator: torch.Generator
    ) -> torch.Tensor | None:
        """Return the random numbers that one model's step needs, or None; ``decide`` finds them in its statistics.

        Parameters
        ----------
        tasks, parameters : int
            T, and P if the method needs the Jacobian.
        device : torch.device
            Where they are used.
        generator : torch.Generator
            On the CPU.
        """
        return None

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        """Return this step's weights and the next state, without a gradient: a pure function of tensors.

        A method that needs losses, norms or the Jacobian must not wait for the device; one that needs the Gramian may
        move its T × T numbers to the CPU.
        """
        raise NotImplementedError

    def after(self, state: State, losses: torch.Tensor) -> State:
        """Return the next state, given the same batch's losses after the optimizer's step, shape (…, T)."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class GramianBalancer(Balancer):
    """A method that turns the Gramian of the tasks' gradients into weights, with NumPy, in float64.

    It sees only the tasks that are present; the others keep the weight and the state that they had.

    Parameters
    ----------
    geometry : {"parameters", "representation"}
        Of the gradients on the shared parameters, exactly, or of those at the representation z, which is cheaper: an
        upper bound (Sener & Koltun 2018), and the same direction only where the trunk distorts nothing.
    """

    heads: Literal["weighted", "unit"] = "unit"
    geometry: Literal["parameters", "representation"] = "parameters"

    needs: ClassVar[Needs] = "gramian"
    solver_state: ClassVar[tuple[str, ...]] = ()
    """The parts of the state that ``solve_with_state`` reads and may change."""
    draws_orders: ClassVar[bool] = False
    """Whether a step draws T × T numbers, by whose ranks each task's row is an order of all tasks."""

    @property
    def at_representation(self) -> bool:
        return self.geometry == "representation"

    def draw(
        self, tasks: int, parameters: int, device: torch.device, generator: torch.Generator
    ) -> torch.Tensor | None:
        import torch

        return torch.rand(tasks, tasks, generator=generator) if self.draws_orders else None

    def solve(self, gramian: Array) -> Array:
        """Return the weights, shape (K,), for a Gramian of shape (K, K) without the eigenvalues that are rounding."""
        raise NotImplementedError

    def solve_with_state(
        self, gramian: Array, chosen: Indices, state: dict[str, Array], draws: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        """Return what ``solve`` does, and the parts of the state that change; for a method that remembers or draws.

        Parameters
        ----------
        gramian : array of shape (K, K)
            Of the K tasks present.
        chosen : array of int, shape (K,)
            Which of the T tasks these are.
        state : dict of str to array
            By the names in ``solver_state``, of all T tasks. To be left as it is.
        draws : array of shape (K, K), optional
            What ``draw`` made, of shape (T, T), for the tasks present.
        """
        return self.solve(gramian), {}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import numpy as np
        import torch

        from mtl_cli.balancing.solvers.linalg import as_array

        assert statistics.gramian is not None
        epsilon = torch.finfo(statistics.gramian.dtype).eps
        gramians, present = as_array(statistics.gramian), statistics.present.cpu().numpy()
        draws = None if statistics.draws is None else as_array(statistics.draws)
        weights = as_array(state["weights"])
        known = {name: as_array(state[name]) for name in self.solver_state}
        for model in np.ndindex(present.shape[:-1]):
            own = {name: values[model] for name, values in known.items()}
            drawn = None if draws is None else draws[model]
            weights[model], changes = self._decide_one(
                weights[model], gramians[model], present[model], own, drawn, epsilon
            )
            for name, values in changes.items():
                known[name][model] = values
        found = torch.from_numpy(weights).to(state["weights"])
        solved = {name: torch.from_numpy(values).to(state[name]) for name, values in known.items()}
        return Decision(found, {**state, **solved, "weights": found})

    def _decide_one(
        self,
        before: Array,
        gramian: Array,
        present: Array,
        state: dict[str, Array],
        draws: Array | None,
        epsilon: float,
    ) -> tuple[Array, dict[str, Array]]:
        """Return one model's weights, shape (T,), NaN for a Gramian that is not finite, and the state that changes."""
        import numpy as np

        from mtl_cli.balancing.solvers.linalg import clean

        chosen = present.nonzero()[0]
        if len(chosen) == 0:
            return before, {}
        pairs = chosen[:, None], chosen
        if not np.isfinite(gramian[pairs]).all():  # the step says which task it is
            return np.full_like(before, np.nan), {}
        drawn = None if draws is None else draws[pairs]
        weights = before.copy()
        weights[chosen], changes = self.solve_with_state(clean(gramian[pairs], epsilon), chosen, state, drawn)
        return weights, changes
