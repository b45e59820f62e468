"""Time to event: likelihoods and metrics against formulas written out, and figures that scikit-survival 0.28 gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.tasks import survival
from mtl_cli.tasks.kinds.survival import Survival, round_times


def rows(n: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return times with ties, events, and risks."""
    random = np.random.default_rng(seed)
    return random.integers(1, max(3, n // 4), n).astype(float), random.random(n) < 0.6, random.normal(size=n)


def efron(time: np.ndarray, event: np.ndarray, risk: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Return the sum over events, each by its weight, and the weights' sum; as Efron's formula is written."""
    total = count = 0.0
    for now in np.unique(time[event & (weight > 0)]):
        at_risk = (time >= now) & (weight > 0)
        died = at_risk & event & (time == now)
        if at_risk.sum() < 2:
            continue
        scaled, d = weight * np.exp(risk), died.sum()
        logs = [np.log(scaled[at_risk].sum() - l / d * scaled[died].sum()) for l in range(d)]  # noqa: E741
        total += weight[died].sum() * np.mean(logs) - (weight[died] * np.log(scaled[died])).sum()
        count += weight[died].sum()
    return total, count


@pytest.mark.parametrize("n", [5, 40, 300])
def test_the_partial_likelihood_is_efrons(n: int) -> None:
    time, event, risk = rows(n)
    weight = np.random.default_rng(1).random(n) * (np.random.default_rng(2).random(n) > 0.2)
    target = torch.tensor(np.stack([time, event, weight > 0], axis=1))
    losses, counts = survival.cox_loss(torch.tensor(risk), target, torch.tensor(weight))
    assert (float((losses * counts).sum()), float(counts.sum())) == pytest.approx(efron(time, event, risk, weight))


def test_rows_without_a_label_and_events_alone_say_nothing() -> None:
    target = torch.tensor([[5.0, 1, 1], [3.0, 0, 1], [9.0, 1, 0]])
    risk = torch.tensor([1.0, 2.0, 50.0], requires_grad=True)
    losses, counts = survival.cox_loss(risk, target, None)
    assert (losses.tolist(), counts.tolist()) == ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    target[1, survival.TIME] = 7.0
    losses, counts = survival.cox_loss(risk, target, None)
    assert counts.tolist() == [1.0, 0.0, 0.0]
    assert float(losses[0].detach()) == pytest.approx(np.log(np.exp(1) + np.exp(2)) - 1, rel=1e-6)
    (slope,) = torch.autograd.grad(losses.sum(), risk)
    assert float(slope[2]) == 0


def test_far_risks_have_gradients() -> None:
    time, event, _ = rows()
    risk = (torch.randn(300, generator=torch.Generator().manual_seed(0)) * 60).requires_grad_()
    target = torch.tensor(np.stack([time, event, np.ones(300)], axis=1)).float()
    losses, counts = survival.cox_loss(risk, target, None)
    (losses * counts).sum().backward()
    assert risk.grad is not None
    assert bool(losses.isfinite().all() and risk.grad.isfinite().all())


def test_metrics_are_those_of_scikit_survival() -> None:
    time, event, risk = survival_rows_of_reference()
    c = survival.concordance(*(torch.tensor(each) for each in (time, event, risk)))
    assert float(c) == pytest.approx(0.45522887979158916, rel=1e-12)
    times = np.linspace(5, 60, 20)
    curves = np.exp(-times / 50) / (1 + np.exp(risk[:, None]))
    watched = survival.kaplan_meier(time, event, censoring=True)
    found = survival.integrated(survival.brier(time, event, curves, times, watched), times)
    assert found == pytest.approx(0.3887927170903341, rel=1e-12)
    left = survival.kaplan_meier(time, event)(times[:4])
    np.testing.assert_allclose(left, [0.969750085136683, 0.9421510949472488, 0.92454524115278, 0.8993766918614662])


def survival_rows_of_reference() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows that scikit-survival was given: the third that one generator draws."""
    random = np.random.default_rng(0)
    for n in (5, 40, 300):
        time = random.integers(1, max(3, n // 4), n).astype(float)
        event, risk = random.random(n) < 0.6, random.normal(size=n)
        random.random(2 * n)
    return time, event, risk


def test_concordance_of_resamples() -> None:
    time, event, risk = rows(80)
    random = np.random.default_rng(3)
    counts = np.stack([np.bincount(random.integers(0, 80, 80), minlength=80) for _ in range(3)])
    for held, found in zip(counts, survival.concordance_of_resamples(time, event, risk, counts), strict=True):
        chosen = np.repeat(np.arange(80), held)
        expected = survival.concordance(*(torch.tensor(each[chosen]) for each in (time, event, risk)))
        assert found == pytest.approx(float(expected))


def test_the_baseline_hazard_is_breslows() -> None:
    time, event, risk = rows(60)
    steps = [(event & (time == now)).sum() / np.exp(risk[time >= now]).sum() for now in np.unique(time[event])]
    found = survival.breslow(time, event, risk)
    np.testing.assert_allclose(found.values, np.cumsum(steps))
    assert found.times == np.unique(time[event]).tolist()


def test_the_discrete_likelihood_and_its_best_constants() -> None:
    cuts = torch.tensor([1.0, 2.0, 4.0])
    logits = torch.tensor([[0.2, -1.0, 0.5]])
    h = torch.sigmoid(logits[0])
    cases = {(0.5, 1): h[0], (1.0, 1): h[0], (3.0, 1): (1 - h[0]) * (1 - h[1]) * h[2], (0.4, 0): torch.tensor(1.0)}
    cases |= {(0.6, 0): 1 - h[0], (9.0, 0): (1 - h).prod(), (9.0, 1): (1 - h).prod(), (3.5, 0): (1 - h).prod()}
    for (time, event), likelihood in cases.items():
        found = survival.discrete_loss(logits, torch.tensor([[time, event, 1.0]]), cuts)
        torch.testing.assert_close(found, -likelihood.log().reshape(1))
    time, event, _ = rows(200)
    rates = survival.discrete_rates(time, event, np.array([10.0, 20.0, 40.0]))
    target = torch.tensor(np.stack([time, event, np.ones(200)], axis=1)).float()
    best = torch.tensor(np.log(rates / (1 - rates)), dtype=torch.float32, requires_grad=True)
    loss = survival.discrete_loss(best.expand(200, -1), target, torch.tensor([10.0, 20.0, 40.0])).mean()
    (slope,) = torch.autograd.grad(loss, best)
    assert float(slope.abs().max()) < 1e-5


def table(n: int = 200) -> pd.DataFrame:
    time, event, _ = rows(n)
    return pd.DataFrame({"t": time, "e": event.astype(int)})


def test_curves_fall_and_members_average_as_curves() -> None:
    task = Survival(event="e", times=[10.0, 40.0]).fit("t", table(), np.arange(200))
    outputs = torch.randn(6, 3, task.outputs, generator=torch.Generator().manual_seed(0))
    at = np.linspace(0, 80, 30)
    curves = task.curves(outputs[:, 0].numpy(), at)
    assert (np.diff(curves, axis=1) <= 1e-12).all()
    assert (curves[:, 0] == 1).all()
    ends = np.array(task.cuts) * task.unit
    each = [task.curves(own.numpy(), ends) for own in outputs.unbind(1)]
    np.testing.assert_allclose(task.curves(task.average(outputs).numpy(), ends), np.mean(each, axis=0), rtol=1e-4)
    decoded = task.decode(outputs[:, 0].numpy())
    np.testing.assert_allclose(decoded["predicted_t_at_40"], task.curves(outputs[:, 0].numpy(), np.array([40.0]))[:, 0])
    risk = task.risk(outputs[:, 0]).numpy()
    np.testing.assert_allclose(decoded["predicted_t"], -risk * task.unit, rtol=1e-5)


def test_folds_with_other_intervals_are_converted_by_their_curves() -> None:
    own, other = (Survival(event="e").fit("t", some, np.arange(len(some))) for some in (table(), table().iloc[:120]))
    output = np.random.default_rng(0).normal(size=(4, other.outputs)).astype("float32")
    ends = np.array(own.cuts) * own.unit
    np.testing.assert_allclose(own.curves(own.in_own_units(output, other), ends), other.curves(output, ends), atol=1e-4)


def test_the_constant_is_kaplan_and_meiers_curve() -> None:
    task = Survival(event="e", intervals=40).fit("t", table(400), np.arange(400))
    values = task.encode(task.labels(table(400))).values
    constant = task.metrics(np.zeros((400, task.outputs), "float32"), values)
    found = task.constant_metrics(values)
    assert found["concordance"] == constant["concordance"] == 0.5
    assert found["brier"] == pytest.approx(constant["brier"], rel=0.02)


@pytest.mark.parametrize(
    ("time", "event", "keys", "message"),
    [
        ([1, -2, 3], [1, 1, 1], {}, "tasks.t: '-2.0' in row 2 of column 't' is a time below 0"),
        ([1, None, 3], [1, 1, 1], {}, "tasks.t: row 2 has an event but no time in column 't'"),
        ([1, 2, 3], [0, 0, 0], {}, "tasks.t: the training rows have no events, and two at different times are needed"),
        ([1, 2, 3], ["dead", "alive", "dead"], {}, "tasks.t.event: 'dead' in row 1 of column 'e' says neither"),
        ([1, 2, 3], [0, 1, 2], {}, "tasks.t.event: '2' in row 3 of column 'e' says neither"),
        ([1, "x", 3], [1, 1, 1], {}, "tasks.t: 'x' in row 2 is not a finite number"),
    ],
)
def test_labels_that_cannot_be_learnt(time: list[Any], event: list[Any], keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        components("task")["survival"](event="e", **keys).fit("t", pd.DataFrame({"t": time, "e": event}), np.arange(3))
    assert str(caught.value).startswith(message)


def test_what_stands_for_an_event() -> None:
    labels = pd.DataFrame({"t": [1, 2.5, 3, 4], "e": ["dead", "alive", "dead", None]})
    found = Survival(event="e", happened=["dead"]).labels("t", labels)
    assert found.tolist()[:3] == ["1", "2.5+", "3"]
    assert found.isna().tolist() == [False, False, False, True]


def test_no_event_column_is_one_line() -> None:
    assert "needs the column that says whether the event came" in next(Survival().check("t")).what
    assert "is the column of the times" in next(Survival(event="t").check("t")).what


def test_round_times() -> None:
    assert round_times(2659) == [1000.0, 2000.0]
    assert round_times(260) == [100.0, 200.0]
    assert round_times(1.0) == [0.2, 0.4, 0.6, 0.8, 1.0]
