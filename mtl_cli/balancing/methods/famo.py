"""FAMO: all losses fall at the same rate, from the losses alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.balancer import Balancer, Needs, Observed, State, Weighing
from mtl_cli.config.convert import NonNegativeFloat, PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

EPSILON = 1e-8  # keeps the logarithm finite, as in the authors' code


@component("balancer", "famo")
@dataclass(frozen=True, kw_only=True)
class FastAdaptive(Balancer):
    """w_t = c z_t / L_t, z = softmax(ξ), c = 1 / Σ_t (z_t / L_t).

    Liu, Feng, Stone & Liu (NeurIPS 2023, arXiv 2306.03792, algorithm 1). After the network's step the losses L'_t
    of the same batch say how fast each fell, δ_t = log L_t − log L'_t, and ξ descends along z_t (δ_t − Σ_s z_s
    δ_s) + γ ξ_t: the tasks that fell fast lose weight.

    Parameters
    ----------
    lr : float
        Of ξ.
    gamma : float
        Decay of ξ. 0.001 in the paper; the authors' code has 1e-5 as the class's default and 0.01 in its script.

    Notes
    -----
    ξ descends by Adam as in the authors' code, the decay being part of the gradient. The lower bound b_t of a loss is 0
    here; ``shift`` moves it. Tasks that are absent keep ξ_t and have no part in c.
    """

    lr: PositiveFloat = 0.025
    gamma: NonNegativeFloat = 0.001

    needs: ClassVar[Needs] = "losses"
    needs_positive_losses: ClassVar[bool] = True
    looks_ahead: ClassVar[bool] = True
    paper: ClassVar[str] = "Liu et al. 2023, arXiv 2306.03792"
    cost: ClassVar[str] = "and one more forward pass"

    def start(self, tasks: list[str], device: torch.device) -> State:
        import torch

        logits = torch.zeros(len(tasks), device=device)
        here = torch.ones(len(tasks), dtype=torch.bool, device=device)
        return {
            **adam.start("logits", logits),
            "weights": torch.full_like(logits, 1 / len(tasks)),
            "losses": torch.ones_like(logits),
            "present": here,
            "everyone": torch.tensor(True),  # on the CPU, where reading it waits for nothing
        }

    def weigh(self, state: State, observed: Observed) -> Weighing:
        import torch

        losses, present = observed.losses, observed.present
        losses = losses + EPSILON
        shares = state["logits"].softmax(0) / losses
        if present is None:
            weights = shares / shares.sum()
            here = state["present"]
        else:
            weights = (shares / shares.where(present, 0.0).sum()).where(present, state["weights"])
            here = present
        everyone = torch.tensor(present is None)
        following = {"weights": weights, "losses": losses, "present": here, "everyone": everyone}
        return Weighing(weights, {**state, **following})

    def after(self, state: State, losses: torch.Tensor) -> State:
        present = None if state["everyone"] else state["present"]
        fell = (state["losses"] / (losses + EPSILON)).log()
        if present is not None:
            fell = fell.where(present, 0.0)
        shares = state["logits"].softmax(0)
        gradient = shares * (fell - shares @ fell) + self.gamma * state["logits"]
        return {**state, **adam.step(state, "logits", gradient, self.lr, present)}
