"""DB-MTL: losses by their logarithm, gradients brought to the longest one's length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import NonNegativeFloat, Probability
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

EPSILON = 1e-8


@component("balancer", "db_mtl")
@dataclass(frozen=True, kw_only=True)
class DualBalancing(Balancer):
    """d = a Σ_t m_t / ‖m_t‖, a = max_t ‖m_t‖, m_t ← β_k m_t + (1 − β_k) g_t / L_t in step k, β_k = β / k^σ.

    Lin et al. (arXiv 2308.12029, algorithm 1, where β is constant; its experiments also try β/√k). g_t / L_t is the
    gradient of log L_t, and the heads are trained with it: w_t = 1 / L_t are the weights of the heads, while d is not
    Σ_t w_t g_t.

    Parameters
    ----------
    beta : float
        0.9 in LibMTL; the paper tunes it.
    sigma : float
        0 is a constant β, 0.5 is β/√k.

    Notes
    -----
    m starts at 0. A task that is absent keeps its m_t and is left out of d. The running means of all shared parameters'
    gradients are part of the state: T times the memory of the shared parameters.
    """

    beta: Probability = 0.9
    sigma: NonNegativeFloat = 0.0

    needs: ClassVar[Needs] = "jacobian"
    needs_losses: ClassVar = "nonnegative"
    paper: ClassVar[str] = "Lin et al. 2023, arXiv 2308.12029"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        ones = torch.ones(len(tasks), device=device)
        width_unknown = torch.zeros_like(ones)[:, None]  # grows to the gradients' width in the first step
        return {"weights": ones, "mean": width_unknown}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        assert statistics.jacobian is not None
        present = statistics.present
        weights = (statistics.losses + EPSILON).reciprocal()
        beta = self.beta / (statistics.step + 1) ** self.sigma
        mean = beta * state["mean"] + (1 - beta) * weights[..., None] * statistics.jacobian
        mean = mean.where(present[..., None], state["mean"])
        lengths = mean.norm(dim=-1).where(present, 0.0)
        factors = (lengths.amax(-1, keepdim=True) / (lengths + EPSILON)).where(present, 0.0)
        weights = weights.where(present, state["weights"])
        direction = (factors[..., None, :] @ mean).squeeze(-2)
        return Decision(weights, {"weights": weights, "mean": mean}, {"length": lengths}, direction)
