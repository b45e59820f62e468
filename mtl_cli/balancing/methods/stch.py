"""Smooth Tchebycheff scalarisation: the worst loss, smoothly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import NonNegativeInt, PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "stch")
@dataclass(frozen=True, kw_only=True)
class SmoothTchebycheff(Balancer):
    """T μ log Σ_t exp(log(L_t / z_t) / μ): w_t = T p_t / L_t, p = softmax(log(L / z) / μ).

    Lin et al. (ICML 2024, arXiv 2402.19078), on the logarithms of the losses as in the authors' multi-task code. In the
    warm-up epochs the loss is Σ_t log L_t, w_t = 1 / L_t; z_t is the mean loss of the last of them.

    Parameters
    ----------
    mu : float
        Smoothness: near 0 only the worst task counts, at infinity all count the same.
    warmup_epochs : int
        5 as in the authors' code, whose ``STCH_warmup_epoch=4`` names the last, counted from 0. With 0, z_t = 1.

    Notes
    -----
    The factor T makes the change from warm-up smooth: p_t = 1/T gives w_t = 1 / L_t. The preferences λ of the paper
    are equal. A task that had no label in the last warm-up epoch gets z_t = L_t.
    """

    mu: PositiveFloat = 1.0
    warmup_epochs: NonNegativeInt = 5

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "positive"
    paper: ClassVar[str] = "Lin et al. 2024, arXiv 2402.19078"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        zeros = torch.zeros(len(tasks), device=device)
        return {"weights": torch.ones_like(zeros), "sum": zeros, "count": zeros}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import torch

        losses, present = statistics.losses, statistics.present
        total, count = state["sum"], state["count"]
        if statistics.epoch <= self.warmup_epochs:
            weights = losses.reciprocal()
            if statistics.epoch == self.warmup_epochs:
                total, count = total + losses * present, count + present
        else:
            nadir = (total / count).where(count > 0, losses) if self.warmup_epochs else torch.ones_like(losses)
            excess = ((losses / nadir).log() / self.mu).where(present, -torch.inf)
            weights = present.sum(-1, keepdim=True) * excess.softmax(-1) / losses
        weights = weights.where(present, state["weights"])
        return Decision(weights, {"weights": weights, "sum": total, "count": count})
