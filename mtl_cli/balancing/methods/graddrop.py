"""GradDrop: at every coordinate the gradients of one sign are dropped, by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import Bound
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "graddrop")
@dataclass(frozen=True, kw_only=True)
class GradDrop(Balancer):
    """d_p = Σ_t (ℓ + (1 − ℓ) M_tp) g_tp, M_tp = [P_p > U_p][g_tp > 0] + [P_p < U_p][g_tp < 0], U_p ~ U(0, 1).

    P_p = ½ (1 + Σ_t g_tp / Σ_t |g_tp|) is the purity of the signs at coordinate p.

    Chen et al. (NeurIPS 2020, arXiv 2010.06808, algorithm 1, with f(P) = P).

    Parameters
    ----------
    leak : float
        ℓ, the share of a gradient that is never dropped, alike for all tasks; 0 in most of the paper.

    Notes
    -----
    The paper places the layer at an activation and sums over the batch, with the input's sign taken into account.
    Here the signs are those of the gradients on the shared parameters. The layer released in lingvo also rescales d to
    the length of Σ_t g_t, which is not done here. The weights are 1: d is not a weighted sum of the g_t.
    """

    leak: Annotated[float, Bound(at_least=0, at_most=1)] = 0.0
    heads: Literal["weighted", "unit"] = "unit"

    needs: ClassVar[Needs] = "jacobian"
    paper: ClassVar[str] = "Chen et al. 2020, arXiv 2010.06808"

    def draw(self, tasks: int, parameters: int, device: torch.device, generator: torch.Generator) -> torch.Tensor:
        import torch

        if device.type != "cpu":  # so many numbers had better be drawn where they are used
            seed = int(torch.randint(2**62, (), generator=generator))
            generator = torch.Generator(device).manual_seed(seed)
        return torch.rand(parameters, generator=generator, device=device)

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        assert statistics.jacobian is not None
        assert statistics.draws is not None
        direction = graddrop_direction(statistics.jacobian, statistics.draws.to(statistics.jacobian), self.leak)
        return Decision(state["weights"], state, direction=direction)


def graddrop_direction(jacobian: torch.Tensor, drawn: torch.Tensor, leak: float) -> torch.Tensor:
    """Return d, shape (…, P), for the gradients as rows of ``jacobian``, (…, T, P), and U as ``drawn``, (…, P)."""
    total = jacobian.sum(-2)
    purity = 0.5 * (1 + total / jacobian.abs().sum(-2))  # NaN where all are 0; nothing is kept there
    positive = (jacobian * (jacobian > 0)).sum(-2)
    kept = positive.where(purity > drawn, 0.0) + (total - positive).where(purity < drawn, 0.0)
    return leak * total + (1 - leak) * kept
