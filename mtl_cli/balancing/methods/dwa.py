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
    its mean, and one without any label in an epoch keeps its r. Where r is not known yet, or a mean is 0, it is taken
    as 1.
    """

    temperature: PositiveFloat = 2.0

    needs: ClassVar[Needs] = "losses"
    needs_losses: ClassVar = "nonnegative"
    paper: ClassVar[str] = "Liu et al. 2019, arXiv 1803.10704"

    def init_state(self, tasks: list[str], device: torch.device) -> State:
        import torch

        zeros = torch.zeros(len(tasks), device=device)
        unknown = torch.full_like(zeros, torch.nan)
        means = {"last": unknown, "before": unknown, "rate": torch.ones_like(zeros)}
        epoch = torch.zeros((), dtype=torch.int64)  # on the CPU, where reading it waits for nothing
        return {"weights": torch.ones_like(zeros), "sum": zeros, "count": zeros, **means, "epoch": epoch}

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        if int(state["epoch"]) != statistics.epoch:
            state = self._turn(state, statistics.epoch)
        here = 1.0 if statistics.present is None else statistics.present
        following = {**state, "sum": state["sum"] + statistics.losses * here, "count": state["count"] + here}
        return Decision(state["weights"], following, {"rate": state["rate"]})

    def _turn(self, state: State, epoch: int) -> State:
        """Close an epoch: its mean becomes the last one, and the weights follow."""
        known = state["count"] > 0
        last = (state["sum"] / state["count"]).where(known, state["last"])
        before = state["last"].where(known, state["before"])
        rate = (last / before).nan_to_num(1.0, posinf=1.0)
        zeros = state["sum"].new_zeros(state["sum"].shape)
        return {
            "weights": len(rate) * (rate / self.temperature).softmax(0),
            "sum": zeros,
            "count": zeros,
            "last": last,
            "before": before,
            "rate": rate,
            "epoch": state["epoch"].new_tensor(epoch),
        }
