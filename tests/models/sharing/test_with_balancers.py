"""Each balancer with each sharing scheme: .grad is the gradient of Σ w_t L_t, or the config says why not."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.compatibility import problems_between
from mtl_cli.config.compose import compose
from mtl_cli.config.parse import parse
from mtl_cli.config.paths import conf_dir
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import build_network, shapes
from mtl_cli.models.trunks.mlp import MLP
from tests.balancing.test_step import CPU, gradients, losses_of, make_batch, make_tasks, positive

BALANCERS = sorted(components("balancer"))
SCHEMES = sorted(components("sharing"))
OWN_TRUNKS = ("none", "soft")
CONFIG = parse(compose(["dataset=wine"], [conf_dir()]))


def problems(balancer, scheme: str) -> list[str]:
    """Return what the two say of a config in which both stand."""
    sharing = components("sharing")[scheme]()
    config = replace(CONFIG, balancer=balancer, model=replace(CONFIG.model, sharing=sharing))
    return [str(problem) for problem in problems_between(config)]


def make(scheme: str, balancer):
    torch.manual_seed(0)
    sharing = components("sharing")[scheme](**({"budget": "each"} if scheme == "none" else {}))
    config, tasks = Model(trunk=MLP(hidden=[8, 6], dropout=0.0), sharing=sharing), make_tasks()
    model = build_network(config, InputSpec("features", (5,)), shapes(tasks))
    return model, TrainingStep(model, tasks, balancer, CPU)


@pytest.mark.parametrize("name", BALANCERS)
def test_runs_and_its_gradient_is_that_of_the_weighted_sum_or_the_config_says_why_not(name: str) -> None:
    balancer = positive(components("balancer")[name]())
    for scheme in SCHEMES:
        found = problems(balancer, scheme)
        if balancer.needs != "losses" and scheme in OWN_TRUNKS:
            (line,) = found
            assert line.startswith(f"model.sharing: shares no layer, and balancer={name} looks at gradients")
            assert line.endswith("; choose from cgc, cross_stitch, dselect_k, hard, mmoe, ple; or balancer=uniform")
            continue
        assert not found
        model, step = make(scheme, balancer)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
        for _ in range(2):
            optimizer.zero_grad()
            batch, before = make_batch(), copy.deepcopy(model)
            weights = step(batch).weights
            before.zero_grad()
            sum(w * loss for w, loss in zip(weights, losses_of(before, step.tasks, batch), strict=True)).backward()
            heads = {id(p) for task in step.tasks for p in before.head_parameters(task)}
            shared = {id(p) for p in before.shared_parameters()}
            found, expected = gradients(model), gradients(before)
            size = max(float(value.norm()) for value in expected.values())
            for key, parameter in before.named_parameters():
                if id(parameter) in heads and balancer.heads == "unit":
                    continue
                if id(parameter) in shared and step.directed:
                    continue  # a direction of its own; what is a task's own still gets w_t
                assert float((found[key] - expected[key]).norm()) <= 2e-6 * max(size, 1.0), (scheme, key)
            optimizer.step()
            step.after(batch)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme not in OWN_TRUNKS])
def test_the_gramian_is_of_the_shared_parameters_alone(scheme: str) -> None:
    model, step = make(scheme, components("balancer")["mgda"]())
    batch = make_batch()
    shared = model.shared_parameters()
    rows = []
    for loss in losses_of(model, step.tasks, batch):
        found = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True)
        pairs = zip(shared, found, strict=True)
        rows.append(torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs]))
    jacobian = torch.stack(rows)
    step(batch)
    assert torch.allclose(step.gramian, jacobian @ jacobian.T, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("scheme", [scheme for scheme in SCHEMES if scheme not in OWN_TRUNKS])
def test_gradnorm_goes_by_the_last_layers_that_all_tasks_share(scheme: str) -> None:
    model, step = make(scheme, components("balancer")["gradnorm"]())
    batch = make_batch()
    layers = [layer.weight for layer in model.last_shared_layers]
    expected = []
    for loss in losses_of(model, step.tasks, batch):
        found = torch.autograd.grad(loss, layers, retain_graph=True)
        expected.append(torch.cat([g.flatten() for g in found]).norm())
    result = step(batch)
    found = torch.as_tensor(result.columns["norm"]) / torch.as_tensor(result.weights)
    assert torch.allclose(found.double(), torch.stack(expected).double(), rtol=1e-4)
    assert len(layers) == {"hard": 1, "mmoe": 4, "dselect_k": 4, "cgc": 1, "ple": 1, "cross_stitch": 3}[scheme]


def test_a_common_representation_is_there_with_hard_sharing_only() -> None:
    balancer = components("balancer")["mgda"](geometry="representation")
    assert not problems(balancer, "hard")
    (line,) = problems(balancer, "mmoe")
    assert line.startswith("balancer.geometry: representation needs one that all tasks share")
    assert line.endswith("; balancer.geometry=parameters")
