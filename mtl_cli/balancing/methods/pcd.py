"""PCD: as near as possible to one task's gradient, with a little progress for every other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mtl_cli.balancing.base import GramianBalancer, State
from mtl_cli.config.convert import Bound, NonNegativeFloat, Probability
from mtl_cli.config.errors import Problem, unknown_tasks
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.solvers.linalg import Array, Indices


@component("balancer", "pcd")
@dataclass(frozen=True, kw_only=True)
class PriorityConstrained(GramianBalancer):
    """argmin_d ‖d − g̃_p‖² over g̃_t·d ≥ τ ‖g̃_t‖² for t ≠ p, brought to the length ‖g_p‖; p is the primary task.

    g̃_t = g_t / √(v_t + ε), with v_t the running mean of ‖g_t‖² (decay β, corrected for its start at 0).

    Varam & AlHajri (TMLR 2026, arXiv 2606.29521, algorithm 1). Solved exactly in the Gramian alone, for any number of
    tasks, where the authors enumerate the active constraints.

    Parameters
    ----------
    primary : str, optional
        The primary task; by default the first.
    tau : float
        The progress that each secondary task is sure of, as a share of what its own normalised gradient g̃_t would give.
    beta : float
    epsilon : float

    Notes
    -----
    If g_p = 0 or d = 0 the weights are 0. Constraints that contradict each other are dropped: d = g_p. Where the
    primary task is absent, the first of those present takes its place.
    """

    primary: str | None = None
    tau: Annotated[float, Bound(at_least=0, at_most=1)] = 0.02
    beta: Probability = 0.999
    epsilon: NonNegativeFloat = 1e-8

    solver_state: ClassVar = ("primary", "mean_square", "steps")
    paper: ClassVar[str] = "Varam & AlHajri 2026, arXiv 2606.29521"

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        yield from super().check(tasks)
        if self.primary is not None:
            yield from unknown_tasks([self.primary], tasks, "balancer.primary")

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        first = tasks.index(self.primary) if self.primary is not None else 0
        zeros = torch.zeros(len(tasks), dtype=torch.float64)
        return {
            **super().init_state(tasks, device),
            "primary": torch.tensor(first),
            "mean_square": zeros,
            "steps": zeros,
        }

    def solve_with_state(
        self, gramian: Array, chosen: Indices, state: dict[str, Array], draws: Array | None
    ) -> tuple[Array, dict[str, Array]]:
        import numpy as np

        squares, steps = state["mean_square"].copy(), state["steps"].copy()
        steps[chosen] += 1
        squares[chosen] = self.beta * squares[chosen] + (1 - self.beta) * gramian.diagonal()
        denominators = np.sqrt(squares[chosen] / (1 - self.beta ** steps[chosen]) + self.epsilon)
        factors = np.divide(1.0, denominators, out=np.zeros_like(denominators), where=denominators > 0)
        first = int(np.argmax(chosen == state["primary"]))  # or the first task present
        return pcd_weights(gramian, factors, first, self.tau), {"mean_square": squares, "steps": steps}


def pcd_weights(gramian: Array, factors: Array, primary: int, tau: float) -> Array:
    """Return w with d = Σ_t w_t g_t.

    Parameters
    ----------
    gramian : array of shape (K, K)
    factors : array of shape (K,)
        g̃_t / g_t.
    primary : int
    tau : float
    """
    import numpy as np

    from mtl_cli.balancing.solvers.dual_cone import FLOOR, nonnegative_qp
    from mtl_cli.balancing.solvers.linalg import cosines, lift

    scaled = gramian * np.outer(factors, factors)
    matrix, norms = cosines(scaled)
    others = (np.arange(len(norms)) != primary) & (norms > 0)
    weights = np.zeros(len(norms))
    weights[primary] = 1.0
    if norms[primary] == 0:
        return 0 * weights
    if others.any():
        short = tau * norms[others] - matrix[others, primary] * norms[primary]  # > 0 where g̃_p violates the constraint
        added = nonnegative_qp(lift(matrix[others][:, others], FLOOR), -short[None])[0]
        if added.sum() < 1e7 * norms.max():  # beyond, the constraints contradict each other
            weights[others] = added / norms[others]
    square = weights @ scaled @ weights
    if square <= 1e-13 * (weights @ norms) ** 2:
        return 0 * weights
    found: Array = weights * factors * np.sqrt(gramian[primary, primary] / square)
    return found
