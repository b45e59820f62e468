"""The schemes on a convolutional trunk, whose stages return maps."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
import torch
from torch import nn

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.compatibility import misfit
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.layers import Normalise
from mtl_cli.models.network import build_network, shapes
from mtl_cli.models.trunk import Trunk, TrunkConfig
from mtl_cli.models.trunks.sequence_cnn import SequenceCNN
from tests.balancing.test_step import CPU, gradients, losses_of, make_batch, make_tasks

SPEC = InputSpec("image", (3, 9, 9), center=[100.0, 90.0, 80.0], scale=[50.0, 50.0, 50.0])


@dataclass(frozen=True, kw_only=True)
class Convolutions(TrunkConfig):
    """Convolutions, each halving the map, and then a linear layer."""

    channels: list[int] = field(default_factory=lambda: [4, 6])
    hidden: int = 5

    accepts: ClassVar[tuple[str, ...]] = ("image",)
    staged: ClassVar[str] = "maps"

    def build(self, spec: InputSpec) -> Trunk:
        stages = self.stages(spec)
        modules = [module for stage in stages for module in stage.module]
        return Trunk(nn.Sequential(*modules), self.hidden, stages[-1].last_shared_layer)

    def stages(self, spec: InputSpec) -> list[Trunk]:
        found, before = [], [Normalise(spec.center, spec.scale)]
        inputs, size = spec.shape[0], spec.shape[1]
        for outputs in self.channels:
            layer, size = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), (size + 1) // 2
            found.append(Trunk(nn.Sequential(*before, layer, nn.ReLU()), outputs, layer))
            inputs, before = outputs, []
        linear = nn.Linear(inputs * size * size, self.hidden)
        return [*found, Trunk(nn.Sequential(nn.Flatten(), linear, nn.ReLU()), self.hidden, linear)]


@pytest.mark.parametrize("per", ["layer", "channel"])
@pytest.mark.parametrize("scheme", ["hard", "none", "soft", "cross_stitch", "mmoe", "cgc", "dselect_k"])
def test_a_step_on_images(scheme: str, per: str) -> None:
    """.grad is the gradient of Σ w_t L_t, whichever balancer looks."""
    if per == "channel" and scheme != "cross_stitch":
        return
    keys = {"none": {"budget": "each"}, "cross_stitch": {"per": per}}.get(scheme, {})
    sharing, tasks = components("sharing")[scheme](**keys), make_tasks()
    for name in ("rlw", "gradnorm", "mgda", "graddrop"):
        balancer = components("balancer")[name]()
        if balancer.needs != "losses" and not sharing.shares_layers:
            continue
        torch.manual_seed(0)
        model = build_network(Model(trunk=Convolutions(), sharing=sharing), SPEC, shapes(tasks))
        batch = replace(make_batch(), inputs=torch.randint(0, 256, (24, 3, 9, 9), dtype=torch.uint8))
        step, before = TrainingStep(model, tasks, balancer, CPU), copy.deepcopy(model)
        weights = step(batch).weights
        sum(w * loss for w, loss in zip(weights, losses_of(before, tasks, batch), strict=True)).backward()
        heads = {id(p) for task in tasks for p in before.head_parameters(task)}
        skipped = heads | ({id(p) for p in before.shared_parameters()} if step.directed else set())
        found, expected = gradients(model), gradients(before)
        for key, parameter in before.named_parameters():
            if id(parameter) not in skipped or (balancer.heads == "weighted" and id(parameter) in heads):
                assert torch.allclose(found[key], expected[key], rtol=1e-4, atol=1e-5), (name, key)


def test_stages_of_maps_suit_all_but_ple() -> None:
    trunk = Convolutions()
    unfit = [name for name, cls in components("sharing").items() if misfit(cls, trunk, True)]
    assert unfit == ["ple"]
    assert "no stages that return rows" in misfit(components("sharing")["ple"], trunk, True)


def test_sequences_are_not_mixed() -> None:
    fit = [name for name, cls in components("sharing").items() if misfit(cls, SequenceCNN(), False) is None]
    assert fit == ["hard", "none", "soft"]


def test_tasks_of_different_levels_read_their_own() -> None:
    """Trunks that represent both rows and tokens: each task gets what it has labels for."""

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 6)

        def forward(self, inputs: torch.Tensor) -> dict[str, torch.Tensor]:
            tokens = self.layer(inputs)
            return {"row": tokens.mean(1), "token": tokens}

    class Config(TrunkConfig):
        def build(self, spec: InputSpec) -> Trunk:
            module = Both()
            return Trunk(module, 6, module.layer)

    tasks = {"a": "row", "b": "token"}
    for scheme in ("hard", "none", "soft"):
        shared = components("sharing")[scheme]().build(Config(), SPEC, tasks)
        found = shared(torch.randn(3, 7, 4))
        assert {name: tuple(z.shape) for name, z in found.items()} == {"a": (3, 6), "b": (3, 7, 6)}
