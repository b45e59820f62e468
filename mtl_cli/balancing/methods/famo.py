"""FAMO: all losses fall at the same rate, from the losses alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
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
        Of ξ; 0.025 in the paper (appendix C).
    gamma : float
        Decay of ξ. 0.001 in the paper, but for Cityscapes (0.01) and the toy problem (0 in the authors' code); that
        code has 0.01 and 1e-5 as defaults.

    Notes
    -----
    ξ descends by Adam as in appendix C, the decay being part of the gradient. The lower bound b_t of a loss is 0 here;
    ``shift`` moves it. Tasks that are absent keep ξ_t and are left out of c and of the mean of the δ's. With
    ``trainer.accumulate``, ξ moves once per step of the optimizer, by the losses of its last batch. The second forward
    pass is one of training, as in the authors' code: dropout draws again, and batch norm's running statistics see the
    batch twice. ``logit_<task>`` in the weights file is ξ_t as used, ``fall_<task>`` the δ_t of the step before.
    """

    lr: PositiveFloat = 0.025
    gamma: NonNegativeFloat = 0.001

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "nonnegative"
    looks_ahead: ClassVar[bool] = True
    paper: ClassVar[str] = "Liu et al. 2023, arXiv 2306.03792"
    cost: ClassVar[str] = "and one more forward pass"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        zeros = torch.zeros(len(tasks), device=device)
        weights = torch.full_like(zeros, 1 / len(tasks))
        present = torch.ones_like(zeros, dtype=torch.bool)
        seen = {"losses": torch.ones_like(zeros), "shares": weights, "present": present}
        return {**adam.init_state("logits", zeros), "weights": weights, "fall": zeros, **seen}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import torch

        losses, present = statistics.losses + EPSILON, statistics.present
        shares = state["logits"].where(present, -torch.inf).softmax(-1).where(present, 0.0)
        parts = shares / losses
        weights = (parts / parts.sum(-1, keepdim=True)).where(present, state["weights"])
        following = {**state, "weights": weights, "losses": losses, "shares": shares, "present": present}
        return Decision(weights, following, {"logit": state["logits"], "fall": state["fall"]})

    def after(self, state: State, losses: torch.Tensor) -> State:
        shares, present = state["shares"], state["present"]
        fall = (state["losses"] / (losses + EPSILON)).log().where(present, state["fall"])
        slope = shares * (fall - (shares * fall).sum(-1, keepdim=True)) + self.gamma * state["logits"]
        return {**state, "fall": fall, **adam.step(state, "logits", slope, self.lr, present)}
