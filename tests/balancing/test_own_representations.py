"""Models in which each task reads a representation of its own, whatever its shape and whatever the inputs are."""

import copy
from dataclasses import replace

import pytest
import torch
from torch import nn

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.data.batches import Batch
from tests.balancing.test_step import (
    CPU,
    METHODS,
    Told,
    close,
    expected_gradients,
    gradients,
    losses_of,
    make_batch,
    make_tasks,
    positive,
)

NAMES = ("size", "good", "kind")
SEES_LOSSES = [name for name in METHODS if components("balancer")[name].needs == "losses"]
SEES_GRADIENTS = [name for name in METHODS if name not in SEES_LOSSES]


class Shared(nn.Module):
    """What the models below have in common: linear heads, and what the step asks of a model."""

    def __init__(self, widths: dict[str, int]) -> None:
        super().__init__()
        outputs = {"size": 1, "good": 1, "kind": 3}
        self.heads = {name: nn.Linear(widths[name], outputs[name]) for name in NAMES}
        self._heads = nn.ModuleList(self.heads.values())

    def head_parameters(self, task):
        return list(self.heads[task].parameters())

    def stack(self):
        return None

    def forward(self, inputs):
        return {name: self.heads[name](z) for name, z in self.representations(inputs).items()}


class Mixture(Shared):
    """Two shared experts, and a gate for each task below its representation, as in MMoE."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(NAMES, 6))
        self.experts = nn.ModuleList(nn.Linear(5, 6) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(5, 2) for _ in NAMES)

    @property
    def last_shared_layers(self):
        return list(self.experts)

    def shared_parameters(self):
        return list(self.experts.parameters())

    def representations(self, inputs):
        experts = torch.stack([expert(inputs).relu() for expert in self.experts], 1)
        mixtures = [gate(inputs).softmax(1).unsqueeze(1) @ experts for gate in self.gates]
        return {name: mixture.squeeze(1) for name, mixture in zip(NAMES, mixtures, strict=True)}


class SingleTask(Shared):
    """A trunk for each task, and nothing shared."""

    last_shared_layers = ()

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(NAMES, 6))
        self.trunks = nn.ModuleList(nn.Linear(5, 6) for _ in NAMES)

    def shared_parameters(self):
        return []

    def representations(self, inputs):
        return {name: trunk(inputs).relu() for name, trunk in zip(NAMES, self.trunks, strict=True)}


class Pooled(nn.Linear):
    """A head that reads the mean over places."""

    def forward(self, z):
        return super().forward(z.mean(1))


class Several(Shared):
    """Two inputs; one task reads a sequence (n, places, width), the others one vector (n, width)."""

    def __init__(self) -> None:
        super().__init__({"size": 4, "good": 4, "kind": 4})
        self.heads["kind"] = Pooled(4, 3)
        self._heads = nn.ModuleList(self.heads.values())
        self.table, self.numbers, self.norm = nn.Embedding(7, 4), nn.Linear(5, 4), nn.LayerNorm(4)

    @property
    def last_shared_layers(self):
        return [self.norm]

    def shared_parameters(self):
        return [*self.table.parameters(), *self.numbers.parameters(), *self.norm.parameters()]

    def representations(self, inputs):
        tokens, numbers = inputs
        places = self.norm(self.table(tokens) + self.numbers(numbers).unsqueeze(1)).tanh()
        vector = places.amax(1)
        return {"size": vector, "good": vector, "kind": places}


class Images(Shared):
    """Bytes of images through convolutions."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(NAMES, 16))
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, stride=2), nn.GELU(),
            nn.Flatten(),
        )  # fmt: skip

    @property
    def last_shared_layers(self):
        return [self.trunk[3]]

    def shared_parameters(self):
        return list(self.trunk.parameters())

    def representations(self, inputs):
        return dict.fromkeys(NAMES, self.trunk(inputs.float() / 255))


def make(kind, balancer):
    torch.manual_seed(0)
    model = kind()
    return model, TrainingStep(model, make_tasks(weight=2.0), balancer, CPU)


def inputs_of(kind, rows=24):
    generator = torch.Generator().manual_seed(5)
    if kind is Several:
        return (
            torch.randint(0, 7, (rows, 3), generator=generator),
            torch.randn(rows, 5, generator=generator),
        )
    if kind is Images:
        return torch.randint(0, 256, (rows, 3, 6, 6), dtype=torch.uint8, generator=generator)
    return torch.randn(rows, 5, generator=generator)


def batch_of(kind):
    plain = make_batch({"good": (torch.arange(24) % 2).float()})
    return Batch(inputs_of(kind), plain.targets, plain.masks)


def assert_gradients(model, before, step, batch, result, heads):
    """Shared and own parameters are trained on w_t L_t, heads as they are to be; of a direction, only the heads."""
    weights = result.weights
    expected = expected_gradients(before, step.tasks, batch, weights, heads, step.head_weights)
    found = losses_of(before, step.tasks, batch)
    total = sum(w * loss for w, loss in zip(weights, found, strict=True))
    before.zero_grad()
    total.backward()
    below = {name: p.grad for name, p in before.named_parameters() if p.grad is not None and "_heads" not in name}
    expected = {name: value for name, value in expected.items() if "_heads" in name}
    assert close(gradients(model), expected if step.directed else expected | below)


@pytest.mark.parametrize("heads", ["weighted", "unit"])
@pytest.mark.parametrize("kind", [Mixture, Several, Images])
@pytest.mark.parametrize("name", METHODS)
def test_gradients_of_every_method(name, kind, heads):
    model, step = make(kind, replace(positive(components("balancer")[name]()), heads=heads))
    for _ in range(2):
        model.zero_grad()
        batch, before = batch_of(kind), copy.deepcopy(model)
        result = step(batch)
        assert result.weights.isfinite().all()
        assert_gradients(model, before, step, batch, result, heads)
        step.after(batch)


@pytest.mark.parametrize("heads", ["weighted", "unit"])
@pytest.mark.parametrize("name", SEES_LOSSES)
def test_nothing_shared_is_enough_for_methods_that_need_losses(name, heads):
    model, step = make(SingleTask, replace(positive(components("balancer")[name]()), heads=heads))
    batch, before = batch_of(SingleTask), copy.deepcopy(model)
    assert_gradients(model, before, step, batch, step(batch), heads)


@pytest.mark.parametrize("name", SEES_GRADIENTS)
def test_nothing_shared_is_said_before_the_first_step_of_the_others(name):
    with pytest.raises(UserError, match="balancer=famo"):
        make(SingleTask, components("balancer")[name]())


@pytest.mark.parametrize("kind", [Mixture, Several, Images])
@pytest.mark.parametrize("needs", ["norms", "gramian", "jacobian"])
def test_what_is_seen_is_of_the_shared_parameters(needs, kind):
    asked = []
    model, step = make(kind, type("Needing", (Told,), {"needs": needs})(asked=asked))
    batch, before = batch_of(kind), copy.deepcopy(model)
    step(batch)
    shared = before.shared_parameters()
    if needs == "norms":
        shared = [layer.weight for layer in before.last_shared_layers]
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)])
        for loss in losses_of(before, step.tasks, batch)
    ]
    jacobian = torch.stack(rows)
    seen = asked[0]
    if needs == "norms":
        torch.testing.assert_close(seen.norms, jacobian.norm(dim=1), rtol=1e-4, atol=1e-7)
    elif needs == "gramian":
        torch.testing.assert_close(seen.gramian, jacobian @ jacobian.T, rtol=1e-4, atol=1e-7)
    else:
        torch.testing.assert_close(seen.jacobian, jacobian, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("kind", [Mixture, Several])
def test_representation_is_refused_in_one_line(kind):
    _, step = make(kind, components("balancer")["mgda"](geometry="representation"))
    with pytest.raises(UserError, match=r"balancer\.geometry=parameters"):
        step(batch_of(kind))


@pytest.mark.parametrize("name", ["mgda", "nash_mtl"])
def test_representation_of_images(name):
    model, step = make(Images, components("balancer")[name](geometry="representation"))
    batch, before = batch_of(Images), copy.deepcopy(model)
    assert_gradients(model, before, step, batch, step(batch), step.balancer.heads)


@pytest.mark.parametrize("kind", [Mixture, Several, Images])
@pytest.mark.parametrize("name", ["gradnorm", "upgrad", "famo"])
def test_half_precision(name, kind):
    balancer = positive(components("balancer")[name]())
    model, exact = make(kind, balancer)
    other = copy.deepcopy(model)
    step, batch = TrainingStep(other, exact.tasks, balancer, CPU, precision="bfloat16"), batch_of(kind)
    expected, found = exact(batch), step(batch)
    torch.testing.assert_close(found.losses, expected.losses, rtol=0.05, atol=0.05)
    torch.testing.assert_close(found.weights, expected.weights, rtol=0.15, atol=0.05)
    ours, theirs = (torch.cat([g.flatten() for g in gradients(m).values()]) for m in (other, model))
    assert float(torch.cosine_similarity(ours, theirs, 0)) > 0.98
