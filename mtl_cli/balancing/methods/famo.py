"""FAMO: all losses fall at the same rate, from the losses alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mtl_cli.balancing import adam
from mtl_cli.balancing.balancer import Balancer, Needs, Observed, State, Weighing
from mtl_cli.balancing.few import Numbers, few, keep_absent, total
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
    here; ``shift`` moves it. Tasks that are absent keep ξ_t and have no part in c. With ``trainer.accumulate``, ξ moves
    once per step of the optimiser, by the losses of its last batch.
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
        }

    @few
    def weigh(self, xp: Any, state: Mapping[str, Numbers], observed: Observed) -> Weighing:
        losses, present = observed.losses + EPSILON, observed.present
        shares = _softmax(xp, state["logits"]) / losses
        weights = keep_absent(xp, shares / total(xp, shares, present), state["weights"], present)
        here = xp.ones_like(state["present"]) if present is None else present
        return Weighing(weights, {**state, "weights": weights, "losses": losses, "present": here})

    @few
    def after(self, xp: Any, state: Mapping[str, Numbers], losses: Numbers) -> State:
        present = state["present"]
        fell = xp.where(present, xp.log(state["losses"] / (losses + EPSILON)), 0.0)
        shares = _softmax(xp, state["logits"])
        gradient = shares * (fell - (shares * fell).sum()) + self.gamma * state["logits"]
        return {**state, **adam.step(xp, state, "logits", gradient, self.lr, present)}


def _softmax(xp: Any, logits: Numbers) -> Numbers:
    powers = xp.exp(logits - logits.max())
    return powers / powers.sum()
