"""Statistics of a plugin's own: a balancer gets the one that it names, of the unscaled losses' gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from mtl_cli.balancing.base import Balancer, Decision, Needs, State, StepStatistics
from mtl_cli.balancing.boundary import HeadBoundary
from mtl_cli.balancing.gradients.reference import Reference, passes, products
from mtl_cli.balancing.statistic import Statistic
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config import registry
from mtl_cli.config.schema import Model
from tests.balancing.test_step import CPU, TRUNKS, make_batch, make_tasks, network


class ByLayer(Statistic):
    """The Gramian of each shared parameter, (T, parameters, T)."""

    degree: ClassVar[int] = 2

    def compute(self, gradients: Reference, boundary: HeadBoundary) -> torch.Tensor:
        return torch.stack([products(passes(boundary, [layer])) for layer in gradients.parameters], dim=1)


@dataclass(frozen=True, kw_only=True)
class Asks(Balancer):
    """Shows the Gramian that it makes of the layers' as columns."""

    needs: ClassVar[Needs] = "by_layer"

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        assert statistics.other is not None and statistics.gramian is None
        gramian = statistics.other.sum(1)
        return Decision(state["weights"], state, {f"row_{i}": row for i, row in enumerate(gramian)})


@dataclass(frozen=True, kw_only=True)
class Knows(Balancer):
    """Needs the Gramian as it is."""

    needs: ClassVar[Needs] = "gramian"

    def decide(self, state: State, statistics: StepStatistics) -> Decision:
        return Decision(state["weights"], state)


@pytest.mark.parametrize("scale", [1.0, 1024.0])
def test_the_layers_gramians_add_up_to_the_gramian(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    monkeypatch.setitem(registry._registered["statistic"], "by_layer", ByLayer)
    tasks, results = make_tasks(), []
    absent = {"good": torch.zeros(24)}
    for balancer in (Asks(), Knows()):
        model = network(Model(trunk=TRUNKS["plain"]), tasks)
        step = TrainingStep(model, tasks, balancer, CPU)
        step.precision.scale = scale
        results.append(step(make_batch(absent)))
        assert step.backend == ("reference" if balancer.needs == "by_layer" else "mlp")
    asks, knows = results
    rows = torch.stack([asks.columns[f"row_{i}"] for i in range(3)])
    assert knows.gramian is not None and torch.allclose(rows, knows.gramian, rtol=1e-4, atol=1e-7)
    assert rows.diagonal()[[0, 2]].min() > 0 and not rows[1].any()
    assert asks.sizes is not None and asks.sizes.shape == (3,)


def test_a_gradient_that_is_not_finite_shows_in_the_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._registered["statistic"], "by_layer", ByLayer)
    tasks, batch = make_tasks(), make_batch()
    batch.targets["size"][0] = float("nan")
    result = TrainingStep(network(Model(trunk=TRUNKS["plain"]), tasks), tasks, Asks(), CPU)(batch)
    assert result.sizes is not None and not result.sizes[0].isfinite()
