"""GradNorm: weights that give every task a gradient of similar size, larger for tasks that lag behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import Bound, NonNegativeFloat, PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "gradnorm")
@dataclass(frozen=True, kw_only=True)
class GradNorm(Balancer):
    """GradNorm (Chen, Badrinarayanan, Lee & Rabinovich, ICML 2018, arXiv 1711.02257, algorithm 1).

    With W the weight of the last shared layer, T tasks, and at step t

    - G_i(t) = ‖∇_W w_i(t) L_i(t)‖₂ and Ḡ(t) = (1/T) Σ_i G_i(t),
    - the loss ratio L̃_i(t) = L_i(t) / L_i(0) and the inverse training rate r_i(t) = L̃_i(t) / ((1/T) Σ_j L̃_j),

    the weights descend, in w alone and with the target Ḡ(t) r_i(t)^α held constant,

        L_grad(t; w) = Σ_i | G_i(t) − Ḡ(t) r_i(t)^α |   (equation 2),

    and are then renormalised to Σ_i w_i = T. The network is trained on Σ_i w_i(t) L_i(t), with the weights before that
    update. Since w_i > 0, G_i = w_i n_i with n_i = ‖∇_W L_i‖, so dL_grad/dw_i = sign(G_i − Ḡ r_i^α) n_i is known
    without a second backward pass, and nothing of L_grad reaches the network.

    Parameters
    ----------
    alpha : float
        How strongly slow tasks are pulled along: 0.12 and 1.5 in the paper; 0 asks for equal norms.
    lr : float
        Of the weights' own Adam optimizer, without weight decay; 0.025 in the paper (section 5.1).
    min_weight : float
        Weights are clamped here, from below, before they are renormalised.

    Notes
    -----
    What the paper leaves open: it says nothing of w_i ≤ 0, where the norm's derivative changes its sign (here a clamp),
    and nothing of batches that lack a task's labels: there the means run over the tasks present, the others keep their
    weight and their Adam state, and the renormalisation keeps the sum of the weights present. L_i(0) is the first loss
    of task i that is above 0; until there is one, L̃_i is 1.
    """

    alpha: NonNegativeFloat = 1.5
    lr: PositiveFloat = 0.025
    min_weight: Annotated[float, Bound(above=0, below=1)] = 1e-4

    needs: ClassVar[Needs] = "norms"
    needs_losses: ClassVar = "nonnegative"
    paper: ClassVar[str] = "Chen et al. 2018, arXiv 1711.02257"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        ones = torch.ones(len(tasks), device=device)
        return {**adam.init_state("weights", ones), "initial_losses": torch.full_like(ones, torch.nan)}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import torch

        assert statistics.norms is not None
        weights, losses, present = state["weights"], statistics.losses, statistics.present
        here = present.to(losses.dtype)
        shares = here / here.sum(-1, keepdim=True)

        def mean(values: torch.Tensor) -> torch.Tensor:
            return (values * shares).sum(-1, keepdim=True)

        first = state["initial_losses"].isnan() & (losses > 0) & present
        initial = losses.where(first, state["initial_losses"])
        ratios = (losses / initial).where(~initial.isnan(), 1.0)
        rates = ratios / mean(ratios)
        norms = weights * statistics.norms
        target = mean(norms) * rates**self.alpha
        gradient = (norms - target).sign() * statistics.norms

        after = adam.step(state, "weights", gradient, self.lr, present)
        updated = after["weights"].clamp(min=self.min_weight)
        factor = mean(weights) / mean(updated)
        following = {**after, "weights": (updated * factor).where(present, weights), "initial_losses": initial}
        written = {"norm": norms.where(present, torch.nan), "rate": rates.where(present, torch.nan)}
        return Decision(weights, following, written)
