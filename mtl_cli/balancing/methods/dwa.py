"""Dynamic weight average: more weight where the loss falls more slowly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.balancing.balancer import Balancer, Needs, Observed, State, Weighing
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
    its mean, and one without any label in an epoch keeps its r. Where r is not known yet it is taken as 1.
    """

    temperature: PositiveFloat = 2.0

    needs: ClassVar[Needs] = "losses"
    paper: ClassVar[str] = "Liu et al. 2019, arXiv 1803.10704"

    def start(self, tasks: list[str], device: torch.device) -> State:
        import torch

        zeros = torch.zeros(len(tasks), device=device)
        unknown = torch.full_like(zeros, torch.nan)
        return {"sum": zeros, "count": zeros, "last": unknown, "before": unknown, "epoch": zeros}

    def weigh(self, state: State, observed: Observed) -> Weighing:
        total, count, last, before = state["sum"], state["count"], state["last"], state["before"]
        ended = state["epoch"] != observed.epoch
        turn = ended & (count > 0)
        before = last.where(turn, before)
        last = (total / count).where(turn, last)
        here = 1.0 if observed.present is None else observed.present
        following = {
            "sum": total.masked_fill(ended, 0.0) + observed.losses * here,
            "count": count.masked_fill(ended, 0.0) + here,
            "last": last,
            "before": before,
            "epoch": state["epoch"].masked_fill(ended, observed.epoch),
        }
        rates = (last / before).nan_to_num_(1.0)
        weights = len(rates) * (rates / self.temperature).softmax(0)
        return Weighing(weights, following, {"rate": rates})
