"""ExcessMTL: more weight for the tasks that are far from their optimum, not for those that are noisy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import NonNegativeInt, PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

EPSILON = 1e-7  # keeps roots and quotients of zero gradients finite


@component("balancer", "excess_mtl")
@dataclass(frozen=True, kw_only=True)
class ExcessMTL(Balancer):
    """w_t ← w_t exp(η E_t / E_t(0)) / Z, E_t = g_tᵀ diag(h_t)^(−1/2) g_t, h_t = Σ_τ g_t(τ)²: exponentiated
    gradient on w.

    He, Zhou, Zhang, Wu & Zhao (ICML 2024, arXiv 2402.02009, equations 6, 7 and 9): E_t estimates the excess risk
    of task t, with a diagonal Hessian as in AdaGrad.

    Parameters
    ----------
    step_size : float
        η; 0.01 in the authors' code.
    warmup_epochs : int
        E_t(0) is the mean E_t over these epochs, in which w_t = 1/T: 3 in the paper's appendix C.1. With 0 it is
        the first E_t.

    Notes
    -----
    The weights sum to 1. The authors' code takes the first step's E_t as E_t(0), and brings the weights to sum to T:
    ``warmup_epochs: 0``, ``scale: sum``. Where tasks are absent, those present share the sum that they had. The squared
    gradients of all shared parameters are part of the state: T times the memory of the shared parameters.
    """

    step_size: PositiveFloat = 0.01
    warmup_epochs: NonNegativeInt = 3

    needs: ClassVar[Needs] = "jacobian"
    paper: ClassVar[str] = "He et al. 2024, arXiv 2402.02009"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        zeros = torch.zeros(len(tasks), device=device)
        return {
            "weights": torch.full_like(zeros, 1 / len(tasks)),
            "squares": zeros[:, None],  # as wide as the gradients once they are known
            "initial": zeros,
            "count": zeros,
        }

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        import torch

        assert statistics.jacobian is not None
        present, before = statistics.present, state["weights"]
        squared = statistics.jacobian.square()
        squares = state["squares"] + squared
        excess = (squared / (squares + EPSILON).sqrt()).sum(-1)
        initial, count = state["initial"], state["count"]
        averaging = present if statistics.epoch <= self.warmup_epochs else present & (count == 0)
        count = count + averaging
        initial = initial + averaging * (excess - initial) / count.clamp(min=1)
        weights = before
        if statistics.epoch > self.warmup_epochs:
            logits = before.log() + self.step_size * excess / (initial + EPSILON)
            shared = before.where(present, 0.0).sum(-1, keepdim=True)
            weights = (shared * logits.where(present, -torch.inf).softmax(-1)).where(present, before)
        following = {"weights": weights, "squares": squares, "initial": initial, "count": count}
        return Decision(weights, following, {"excess": excess})
