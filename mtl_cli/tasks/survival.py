"""Time to event with censoring: likelihoods, estimates of curves, and what predictions are worth.

A row has a time, and whether the event came then or the row was only watched until then (censored). Tensors of labels
have the columns time, event, and whether there is a label at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mtl_cli.tasks.precision import wide

if TYPE_CHECKING:
    import torch

TIME, EVENT, THERE = range(3)
CHUNK = 1024
"""Rows that are compared with all others at once."""


def cox_loss(
    risk: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what each row adds to −log of Cox's partial likelihood of these rows, and its weight in the mean, (n,).

    With R(t) the rows whose time is t or later, D(t) those of d events at t, and weights w, an event at t costs

        1/d Σ_{l=0}^{d−1} log(Σ_R w e^η − l/d Σ_D w e^η) − log(w e^η)   (Efron 1977, 10.1080/01621459.1977.10480613)

    and a censored row nothing; the mean is over the events, each by its weight. An event that nobody else was at risk
    of has weight 0: it says nothing, and a batch of such events leaves the task out.

    Parameters
    ----------
    risk : Tensor of shape (n,)
        η, the logarithm of the relative hazard.
    target : Tensor of shape (n, 3)
    counts : Tensor of shape (n,), optional
        Weights, 0 where there is no label.
    """
    import torch

    weights = (target[:, THERE] if counts is None else target[:, THERE] * counts).to(risk.dtype)
    there = weights > 0
    time = target[:, TIME].where(there, -torch.inf)
    order = time.argsort(descending=True, stable=True)
    time, there, weights = time[order], there[order], weights[order]
    log_weight = weights.where(there, 1.0).log()
    eta = risk[order].where(there, 0.0) + log_weight
    event = (target[:, EVENT][order] > 0.5) & there
    places = torch.arange(len(time), device=time.device)
    tied = torch.cat([places.new_zeros(1), (time[1:] != time[:-1]).long().cumsum(0)])  # the number of a row's time
    last = places.new_zeros(len(time)).scatter_reduce(0, tied, places, "amax", include_self=False)[tied]
    at_risk = eta.logcumsumexp(0)[last]  # absent rows come last
    share = torch.exp(eta - at_risk).where(event, 0.0)
    deaths = eta.new_zeros(len(time)).index_add(0, tied, event.to(eta.dtype))
    tied_share = eta.new_zeros(len(time)).index_add(0, tied, share)[tied]
    before = event.long().cumsum(0) - 1
    first = before.new_full((len(time),), len(time)).scatter_reduce(0, tied, before.where(event, len(time)), "amin")
    rank = (before - first[tied]).to(eta.dtype).where(event, 0.0)  # of an event among those of its time
    removed = (rank / deaths[tied].clamp(min=1)).where(event, 0.0)
    each = torch.log1p(-removed * tied_share.clamp(max=1))
    mean = eta.new_zeros(len(time)).index_add(0, tied, each.where(event, 0.0))[tied] / deaths[tied].clamp(min=1)
    losses = (at_risk + mean - eta).where(event, 0.0)
    alone = last == 0
    kept = weights.where(event & ~alone, 0.0)
    back = order.argsort()
    return losses[back], kept[back]


def discrete_loss(logits: torch.Tensor, target: torch.Tensor, cuts: torch.Tensor) -> torch.Tensor:
    """Return −log of a row's likelihood with a hazard for each interval (c_{k−1}, c_k], (n,).

    An event in an interval costs −log h_k there and −log(1 − h) in those before it; a censored row −log(1 − h) in the
    intervals of which it outlived the middle (Gensheimer & Narasimhan 2019, doi 10.7717/peerj.6257).

    Parameters
    ----------
    logits : Tensor of shape (n, intervals)
        Of the hazards h.
    target : Tensor of shape (n, 3)
    cuts : Tensor of shape (intervals,)
        The ends c.
    """
    import torch
    from torch.nn.functional import softplus

    time, event = target[:, TIME].contiguous(), target[:, EVENT] > 0.5
    middles = (cuts + torch.cat([cuts.new_zeros(1), cuts[:-1]])) / 2
    own = torch.bucketize(time, cuts)
    outlived = torch.bucketize(time, middles, right=True)
    within = event & (own < len(cuts))
    survived = torch.where(event, own, outlived)
    places = torch.arange(len(cuts), device=cuts.device)
    lived = softplus(logits).where(places < survived.unsqueeze(1), 0.0).sum(1)
    happened = softplus(-logits).where((places == own.unsqueeze(1)) & within.unsqueeze(1), 0.0).sum(1)
    return lived + happened


def discrete_rates(time: np.ndarray, event: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """Return the hazards of most likelihood where all rows have the same, (intervals,)."""
    middles = (cuts + np.concatenate([[0.0], cuts[:-1]])) / 2
    own = np.searchsorted(cuts, time)
    survived = np.where(event, own, np.searchsorted(middles, time, side="right"))
    happened = np.bincount(own[event & (own < len(cuts))], minlength=len(cuts))
    lived = (np.arange(len(cuts)) < survived[:, None]).sum(0)
    return np.asarray(happened / np.maximum(happened + lived, 1))


@dataclass(frozen=True)
class Steps:
    """A function of time that jumps at some times and is flat between; ``start`` before the first."""

    times: list[float]
    values: list[float]
    start: float

    def __call__(self, at: np.ndarray) -> np.ndarray:
        """Return the values at some times, those at a jump after it."""
        place = np.searchsorted(np.array(self.times), at, side="right")
        return np.asarray(np.concatenate([[self.start], self.values])[place])


def kaplan_meier(time: np.ndarray, event: np.ndarray, censoring: bool = False) -> Steps:
    """Return the share that is left without the event at each time (Kaplan & Meier 1958, doi 10.2307/2281868).

    With ``censoring`` that of the rows still watched: censoring is the event then, and at equal times comes last.
    """
    order = np.argsort(time, kind="stable")
    different, starts = np.unique(time[order], return_index=True)
    happened = np.add.reduceat(event[order].astype("float64"), starts)
    rows = np.diff(np.append(starts, len(time)))
    at_risk = len(time) - starts
    if censoring:
        at_risk, happened = at_risk - happened, rows - happened
    left = 1 - np.divide(happened, at_risk, out=np.zeros(len(starts)), where=at_risk > 0)
    jumps = happened > 0
    return Steps(different[jumps].tolist(), left.cumprod()[jumps].tolist(), 1.0)


def breslow(time: np.ndarray, event: np.ndarray, risk: np.ndarray, most: int = 2000) -> Steps:
    """Return the cumulative hazard of a row of risk 0, Σ d / Σ_R e^η over the times of events (Breslow 1972).

    Parameters
    ----------
    time, event : ndarray of shape (n,)
        When each row was last seen, and whether the event happened then.
    risk : ndarray of shape (n,)
        η, the logarithm of each row's relative hazard.
    most : int
        Of more times of events some are left out, evenly.
    """
    order = np.argsort(-time, kind="stable")
    at_risk = np.logaddexp.accumulate(risk[order].astype("float64"))
    times, starts = np.unique(-time[order], return_index=True)
    ends = np.append(starts[1:], len(time)) - 1  # the last row of each time, the latest time first
    happened = np.add.reduceat(event[order].astype("float64"), starts)
    steps = (happened * np.exp(-at_risk[ends]))[::-1]
    jumps = np.flatnonzero(happened[::-1] > 0)
    times, total = -times[::-1], steps.cumsum()
    if len(jumps) > most:
        jumps = jumps[np.linspace(0, len(jumps) - 1, most).astype(int)]
    return Steps(times[jumps].tolist(), total[jumps].tolist(), 0.0)


def comparable(time: torch.Tensor, event: torch.Tensor, rows: slice) -> torch.Tensor:
    """Return which pairs can be compared: the row i had the event, and j was watched without it until then or longer.

    Parameters
    ----------
    time, event : Tensor of shape (n,)
    rows : slice
        The rows i.

    Returns
    -------
    Tensor of bool, shape (rows, n)
    """
    own, other = time[rows].unsqueeze(1), time.unsqueeze(0)
    return event[rows].unsqueeze(1) & ((other > own) | ((other == own) & ~event.unsqueeze(0)))


def concordance(time: torch.Tensor, event: torch.Tensor, risk: torch.Tensor) -> torch.Tensor:
    """Return Harrell's C, the share of comparable pairs whose risks are in the right order; of equal ones a half.

    Harrell, Lee & Mark 1996 (doi 10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4); NaN without a pair.
    """
    import torch

    right, pairs = torch.zeros(2, dtype=wide(risk.device), device=risk.device).unbind()
    for start in range(0, len(time), CHUNK):
        rows = slice(start, start + CHUNK)
        there = comparable(time, event, rows)
        own, other = risk[rows].unsqueeze(1), risk.unsqueeze(0)
        right = right + (there & (own > other)).sum() + 0.5 * (there & (own == other)).sum()
        pairs = pairs + there.sum()
    return right / pairs


def concordance_of_resamples(time: np.ndarray, event: np.ndarray, risk: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return Harrell's C in each resample, where a row may be held several times.

    Parameters
    ----------
    time, event, risk : ndarray of shape (n,)
    counts : ndarray of shape (resamples, n)
        How often each resample holds each row.

    Returns
    -------
    ndarray of shape (resamples,)
    """
    import torch

    each = [torch.from_numpy(np.ascontiguousarray(values)) for values in (time, event, risk)]
    held = torch.from_numpy(counts.astype("float64"))
    right, pairs = (held.new_zeros(len(held)) for _ in range(2))
    for start in range(0, len(time), CHUNK):
        rows = slice(start, start + CHUNK)
        there = comparable(each[0], each[1], rows).double()
        own, other = each[2][rows].unsqueeze(1), each[2].unsqueeze(0)
        order = there * ((own > other).double() + 0.5 * (own == other).double())
        right += (held[:, rows] * (held @ order.T)).sum(1)
        pairs += (held[:, rows] * (held @ there.T)).sum(1)
    return np.asarray((right / pairs).numpy())


def brier(time: np.ndarray, event: np.ndarray, curves: np.ndarray, times: np.ndarray, watched: Steps) -> np.ndarray:
    """Return the Brier score at each time, rows weighted by the inverse probability of being watched, (times,).

    The mean over rows of S(t)² 1(T ≤ t, event) / G(T) + (1 − S(t))² 1(T > t) / G(t) (Graf, Schmoor, Sauerbrei &
    Schumacher 1999, doi 10.1002/(SICI)1097-0258(19990915/30)18:17/18<2529::AID-SIM274>3.0.CO;2-5).

    Parameters
    ----------
    time, event : ndarray of shape (n,)
    curves : ndarray of shape (n, times)
        The predicted S.
    times : ndarray of shape (times,)
    watched : Steps
        G, of the training rows: see ``kaplan_meier``.
    """
    weight_own, weight_at = (
        np.divide(1.0, chance, out=np.zeros(len(chance)), where=chance > 0)
        for chance in (watched(time), watched(times))
    )
    case = (time[:, None] <= times) & event[:, None]
    control = time[:, None] > times
    return np.asarray((curves**2 * case * weight_own[:, None] + (1 - curves) ** 2 * control * weight_at).mean(0))


def integrated(scores: np.ndarray, times: np.ndarray) -> float:
    """Return the mean of scores over the time from the first to the last, by trapezoids."""
    return float(np.trapezoid(scores, times) / (times[-1] - times[0]))
