"""Dynamic weight average: more weight where the loss falls more slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.config.convert import PositiveFloat
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch


@component("balancer", "dwa")
@dataclass(frozen=True, kw_only=True)
class DynamicWeightAverage(Balancer):
    """w = T softmax(r / τ), r_t = L_t(e−1) / L_t(e−2), L_t(e) the mean loss over epoch e.

    Liu, Johns & Davison (CVPR 2019, arXiv 1803.10704). In the first two epochs w_t = 1.

    Parameters
    ----------
    temperature : float
        τ; the larger, the more even the weights. 2 in the paper.

    Notes
    -----
    The mean of an epoch is over its batches, each as its loss is then; a task without a label in a batch is left out of
    its mean, and one without any label in an epoch keeps its r. Where r is not known yet, or L_t(e−2) is 0, it is
    taken as 1.
    """

    temperature: PositiveFloat = 2.0

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "nonnegative"
    paper: ClassVar[str] = "Liu et al. 2019, arXiv 1803.10704"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        zeros = torch.zeros(len(tasks), device=device)
        unknown, ones = torch.full_like(zeros, torch.nan), torch.ones_like(zeros)
        epoch = torch.zeros((), dtype=torch.int64, device=device)
        means = {"sum": zeros, "count": zeros, "last": unknown, "before": unknown}
        return {"weights": ones, "rate": ones, **means, "epoch": epoch}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        new = (state["epoch"] != statistics.epoch)[..., None]
        turned = self._turn(state)
        state = {name: values.where(new, state[name]) for name, values in turned.items()} | {
            "epoch": state["epoch"].new_full(state["epoch"].shape, statistics.epoch)
        }
        following = {
            **state,
            "sum": state["sum"] + statistics.losses * statistics.present,
            "count": state["count"] + statistics.present,
        }
        return Decision(state["weights"], following, {"rate": state["rate"]})

    def _turn(self, state: State) -> State:
        """Close an epoch: its mean becomes the last one, and the weights follow."""
        known = state["count"] > 0
        last = (state["sum"] / state["count"]).where(known, state["last"])
        before = state["last"].where(known, state["before"])
        rate = (last / before).nan_to_num(1.0, posinf=1.0)
        weights = rate.shape[-1] * (rate / self.temperature).softmax(-1)
        zeros = state["sum"].new_zeros(state["sum"].shape)
        return {"weights": weights, "rate": rate, "sum": zeros, "count": zeros, "last": last, "before": before}
