"""FAMO: all losses fall at the same rate, from the losses alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.balancing.few import Numbers, elementwise, few, keep_absent, total
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
    ``shift`` moves it. Tasks that are absent keep ξ_t, and neither c nor the mean of the δ's has a part of them. With
    ``trainer.accumulate``, ξ moves once per step of the optimiser, by the losses of its last batch. The second forward
    pass is one of training, as in the authors' code: dropout draws anew, and batch norm's running statistics see the
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

        logits = torch.zeros(len(tasks), device=device)
        weights = torch.full_like(logits, 1 / len(tasks))
        return {**adam.init_state("logits", logits), "weights": weights, "fall": logits}

    @few
    def decide(self, xp: Any, state: Mapping[str, Numbers], statistics: StepStatistics) -> Decision:
        losses, present = statistics.losses + EPSILON, statistics.present
        shares = _softmax(xp, state["logits"], present)
        parts = shares / losses
        weights = keep_absent(xp, parts / total(xp, parts, present), state["weights"], present)
        following = {**state, "weights": weights, "losses": losses, "shares": shares}
        following.pop("present", None)
        if present is not None:
            following["present"] = present
        return Decision(weights, following, {"logit": state["logits"], "fall": state["fall"]})

    @few
    def after(self, xp: Any, state: Mapping[str, Numbers], losses: Numbers) -> State:
        shares, present = state["shares"], state.get("present")
        fall = keep_absent(xp, xp.log(state["losses"] / (losses + EPSILON)), state["fall"], present)
        mean = (shares * fall).sum()

        def each(logit: Any, first: Any, second: Any, steps: Any, share: Any, fell: Any) -> tuple[Any, ...]:
            slope = share * (fell - mean) + self.gamma * logit
            return adam.move(logit, first, second, steps, slope, lr=self.lr)

        after = elementwise(each, *adam.learnt(state, "logits"), shares, fall)
        return {**state, "fall": fall, **adam.following(xp, state, "logits", after, present)}


def _softmax(xp: Any, logits: Numbers, present: Numbers | None) -> Numbers:
    """Return z over the tasks present, 0 for the others."""
    powers = xp.exp(logits - logits.max())
    if present is not None:
        powers = xp.where(present, powers, 0.0)
    return powers / xp.clip(powers.sum(), EPSILON)
