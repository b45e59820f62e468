"""What a step leaves in .grad, whatever the balancer, and when it asks the balancer."""

import copy
from dataclasses import dataclass, replace
from typing import ClassVar

import pytest
import torch

from mtl_cli.balancing.base import Balancer, Decision, GramianBalancer
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Head, Model
from mtl_cli.data.batches import Batch
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import build_network, shapes
from mtl_cli.models.trunks.mlp import MLP
from mtl_cli.tasks.kinds.binary import BinaryTask
from mtl_cli.tasks.kinds.multiclass import MulticlassTask
from mtl_cli.tasks.kinds.regression import RegressionTask
from mtl_cli.training.steps import StepLog

torch.set_num_threads(1)  # tensors this small only make a second thread wait
CPU = torch.device("cpu")
METHODS = sorted(name for name in components("balancer") if name not in ("static", "torchjd"))
TRUNKS = {
    "plain": MLP(hidden=[16, 8], dropout=0.0),
    "norm": MLP(hidden=[16, 8], dropout=0.0, norm="batch", activation="gelu"),
}


def make_tasks(weight=1.0):
    tasks = [
        RegressionTask("size", ["size"], weight, False, "mse", 1.0, "none", None),
        BinaryTask("good", ["good"], 1.0, False, [0, 1], None, None),
        MulticlassTask("kind", ["kind"], 0.5, False, [0, 1, 2], None, 0.0),
    ]
    return {task.name: task for task in tasks}


def make_batch(masks=None, rows=24):
    torch.manual_seed(3)
    targets = {
        "size": torch.randn(rows),
        "good": torch.randint(0, 2, (rows,)).float(),
        "kind": torch.randint(0, 3, (rows,)),
    }
    return Batch(torch.randn(rows, 5), targets, {name: (masks or {}).get(name) for name in targets})


def network(config, tasks):
    torch.manual_seed(0)
    return build_network(config, InputSpec("features", (5,)), shapes(tasks))


def make(balancer, tasks=None, trunk="plain"):
    tasks = tasks or make_tasks()
    model = network(Model(trunk=TRUNKS[trunk]), tasks)
    return model, TrainingStep(model, tasks, balancer, CPU)


def losses_of(model, tasks, batch):
    found = []
    for name, output in model(batch.inputs).items():
        if name in tasks:
            rows, mask = tasks[name].loss(output, batch.targets[name]), batch.masks[name]
            mean = rows.mean() if mask is None else (rows * mask).sum() / mask.sum().clamp(min=1)
            found.append(mean * tasks[name].weight)
    return found


def gradients(model):
    return {name: torch.zeros_like(p) if p.grad is None else p.grad for name, p in model.named_parameters()}


def expected_gradients(model, tasks, batch, weights, heads, head_weights=None):
    """Return the gradients of Σ w_t L_t; with heads "unit" those of the heads are on ``head_weights``, by default 1."""
    model = copy.deepcopy(model)
    model.zero_grad()
    found = losses_of(model, tasks, batch)
    shared = model.shared_parameters()
    own_weights = weights if heads == "weighted" else [1.0] * len(found) if head_weights is None else head_weights
    for loss, weight, own_weight, name in zip(found, weights, own_weights, tasks, strict=True):
        own = model.head_parameters(name)
        pieces = torch.autograd.grad(loss, [*shared, *own], retain_graph=True)
        for i, (parameter, piece) in enumerate(zip([*shared, *own], pieces, strict=True)):
            factor = own_weight if i >= len(shared) else weight
            parameter.grad = factor * piece if parameter.grad is None else parameter.grad + factor * piece
    return gradients(model)


def close(found, expected):
    scale = max(float(value.norm()) for value in expected.values())
    return all(float((found[name] - expected[name]).norm()) <= 1e-6 * max(scale, 1.0) for name in expected)


def positive(balancer):
    return replace(balancer, shift=3.0) if balancer.needs_losses != "any" else balancer


@pytest.mark.parametrize("heads", ["weighted", "unit"])
@pytest.mark.parametrize("trunk", TRUNKS)
@pytest.mark.parametrize("name", METHODS)
def test_no_leak(name, trunk, heads):
    """.grad is the gradient of Σ w_t L_t, at every one of a few steps, and the weights told are the weights used."""
    balancer = replace(positive(components("balancer")[name]()), heads=heads)
    model, step = make(balancer, trunk=trunk)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        batch, before = make_batch(), copy.deepcopy(model)
        result = step(batch)
        if not step.directed:
            expected = expected_gradients(before, step.tasks, batch, result.weights, heads, step.head_weights)
            assert close(gradients(model), expected)
        assert torch.allclose(
            result.losses * step.task_weights, torch.stack(losses_of(before, step.tasks, batch)), atol=1e-6
        )
        assert not result.weights.requires_grad
        assert not any(value.requires_grad for value in step.state.values())
        optimizer.step()
        step.after(batch)


@pytest.mark.parametrize("name", METHODS)
def test_one_task(name):
    """One task is plain training, up to the length of the gradient."""
    tasks = {"size": make_tasks()["size"]}
    model, step = make(positive(components("balancer")[name]()), tasks)
    batch, before = make_batch(), copy.deepcopy(model)
    result = step(batch)
    step.after(batch)
    if not step.directed:
        assert close(
            gradients(model),
            expected_gradients(before, tasks, batch, result.weights, step.balancer.heads, step.head_weights),
        )
    assert result.weights.isfinite().all()


@pytest.mark.parametrize("name", METHODS)
def test_a_task_without_labels_sits_out(name):
    """It has no part in the gradient, and its weight stays."""
    model, step = make(positive(components("balancer")[name]()))
    batch = make_batch()
    step(batch)
    step.after(batch)
    kept = step.weights.clone()
    model.zero_grad()
    masks = {"good": torch.zeros(24), "size": (torch.arange(24) % 3 > 0).float()}
    batch, before = make_batch(masks), copy.deepcopy(model)
    result = step(batch)
    assert result.weights[1] == kept[1]
    assert result.weights.isfinite().all()
    assert all(float(p.grad.norm()) == 0 for p in model.head_parameters("good") if p.grad is not None)
    if not step.directed:
        assert close(
            gradients(model),
            expected_gradients(before, step.tasks, batch, result.weights, step.balancer.heads, step.head_weights),
        )
    step.after(batch)
    assert all(value.isfinite().all() for value in step.state.values() if name not in ("dwa", "gradnorm"))


@dataclass(frozen=True, kw_only=True)
class Told(GramianBalancer):
    """Uses the weights it is told, and remembers what it saw."""

    weights: tuple[float, ...] = (2.0, 0.5, 1.5)
    heads: str = "weighted"
    asked: list = None

    def init_state(self, tasks, device):
        return {}

    def decide(self, state, statistics):
        if self.asked is not None:
            self.asked.append(statistics)
        return Decision(torch.tensor(self.weights), state)


def test_gramian_as_seen():
    asked = []
    model, step = make(Told(asked=asked), make_tasks(weight=3.0))
    batch = make_batch({"good": torch.zeros(24)})
    shared = model.shared_parameters()
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared)])
        for loss in (losses_of(model, step.tasks, batch)[i] for i in range(3))
    ]
    jacobian = torch.stack(rows)
    step(batch, epoch=4)
    seen = asked[0]
    assert torch.allclose(seen.gramian, jacobian @ jacobian.T, rtol=1e-5, atol=1e-7)
    assert float(seen.gramian[1].abs().max()) == 0
    assert seen.present.tolist() == [True, False, True]
    assert (seen.epoch, seen.step) == (4, 0)


def test_representation_is_another_gramian_but_the_same_gradient():
    asked = []
    model, step = make(Told(asked=asked, geometry="representation"))
    batch, before = make_batch(), copy.deepcopy(model)
    step(batch)
    assert close(gradients(model), expected_gradients(before, step.tasks, batch, Told.weights, "weighted"))
    z = before.shared.trunk(batch.inputs).detach().requires_grad_()
    outputs = {name: head(z) for name, head in before.heads.items()}
    rows = []
    for name, task in step.tasks.items():
        loss = task.loss(outputs[name], batch.targets[name]).mean() * task.weight
        rows.append(torch.autograd.grad(loss, z)[0].flatten())
    jacobian = torch.stack(rows)
    assert torch.allclose(asked[0].gramian, jacobian @ jacobian.T, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("hidden", [[], [4]])
@pytest.mark.parametrize("kinds", [("size", "good"), ("size", "good", "kind")])
@pytest.mark.parametrize("geometry", ["parameters", "representation"])
def test_heads_of_any_depth_and_width(geometry, kinds, hidden):
    tasks = {name: task for name, task in make_tasks().items() if name in kinds}
    asked, weights = [], Told.weights[: len(tasks)]
    model = network(Model(trunk=TRUNKS["plain"], head=Head(hidden=hidden)), tasks)
    step = TrainingStep(model, tasks, Told(asked=asked, geometry=geometry, weights=weights), CPU)
    batch, before = make_batch({"good": (torch.arange(24) % 2).float()}), copy.deepcopy(model)
    step(batch)
    assert close(gradients(model), expected_gradients(before, tasks, batch, weights, "weighted"))
    z = before.shared.trunk(batch.inputs)
    found = losses_of(before, tasks, batch)
    shared = before.shared_parameters()
    if geometry == "representation":
        z = z.detach().requires_grad_()
        before.representations = lambda inputs: dict.fromkeys(before.heads, z)
        found, shared = losses_of(before, tasks, batch), [z]
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)]) for loss in found]
    jacobian = torch.stack(rows)
    assert torch.allclose(asked[0].gramian, jacobian @ jacobian.T, rtol=1e-5, atol=1e-8)


def test_update_every():
    asked = []
    model, step = make(Told(asked=asked, update_every=3))
    for _ in range(7):
        model.zero_grad()
        batch, before = make_batch(), copy.deepcopy(model)
        result = step(batch)
        assert result.weights.tolist() == list(Told.weights)
        assert close(gradients(model), expected_gradients(before, step.tasks, batch, result.weights, "weighted"))
    assert [statistics.step for statistics in asked] == [0, 3, 6]


def test_scale_sum_counts_the_tasks_present():
    _, step = make(Told(scale="sum"))
    assert step(make_batch()).weights.tolist() == pytest.approx([1.5, 0.375, 1.125])
    weights = step(make_batch({"good": torch.zeros(24)})).weights
    assert float(weights[0] + weights[2]) == pytest.approx(2.0)
    assert float(weights[1]) == pytest.approx(0.375)


@dataclass(frozen=True, kw_only=True)
class Directed(Balancer):
    """Sends the mean gradient back, as a direction."""

    needs: ClassVar = "jacobian"

    def init_state(self, tasks, device):
        return {}

    def decide(self, state, statistics):
        return Decision(torch.ones(len(statistics.losses)), state, direction=statistics.jacobian.mean(0))


@pytest.mark.parametrize("trunk", TRUNKS)
def test_direction_replaces_the_weighted_sum(trunk):
    model, step = make(Directed(heads="unit", update_every=5), trunk=trunk)
    for _ in range(2):  # a direction is not reused, whatever update_every says
        model.zero_grad()
        batch, before = make_batch(), copy.deepcopy(model)
        step(batch)
        assert close(gradients(model), expected_gradients(before, step.tasks, batch, (1 / 3,) * 3, "unit"))


@dataclass(frozen=True, kw_only=True)
class Ahead(Balancer):
    """Keeps the losses before and after."""

    needs: ClassVar = "losses"
    needs_losses: ClassVar = "positive"
    looks_ahead: ClassVar = True

    def init_state(self, tasks, device):
        return {"before": torch.zeros(len(tasks)), "after": torch.zeros(len(tasks))}

    def decide(self, state, statistics):
        return Decision(torch.ones(len(statistics.losses)), {**state, "before": statistics.losses})

    def after(self, state, losses):
        return {**state, "after": losses}


def test_looking_ahead():
    model, step = make(Ahead(shift=2.0))
    batch = make_batch()
    before = torch.stack(losses_of(model, step.tasks, batch)).detach()
    step(batch)
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    found = gradients(model)
    step.after(batch)
    after = torch.stack(losses_of(model, step.tasks, batch)).detach()
    assert torch.allclose(step.state["before"], before + 2, atol=1e-6)
    assert torch.allclose(step.state["after"], after + 2, atol=1e-6)
    assert all(torch.equal(found[name], value) for name, value in gradients(model).items())


@pytest.mark.parametrize("name", ["gradnorm", "rlw", "pcgrad", "uniform"])
def test_goes_on_where_it_was(name):
    def run(model, step, steps):
        for _ in range(steps):
            model.zero_grad()
            step(make_batch())
        return step.weights

    model, step = make(components("balancer")[name]())
    run(model, step, 3)
    _, other = make(components("balancer")[name]())
    other.load_state_dict(step.state_dict())
    assert torch.equal(run(model, step, 3), run(copy.deepcopy(model), other, 3))


class TwoTrunks(torch.nn.Module):
    """Two representations: one trunk below both, one that a task has for itself, and no plain stack."""

    def __init__(self):
        super().__init__()
        self.below, self.own = torch.nn.Linear(5, 6), torch.nn.Linear(6, 6)
        self.heads = {"size": torch.nn.Linear(6, 1), "good": torch.nn.Linear(6, 1), "kind": torch.nn.Linear(6, 3)}
        self._heads = torch.nn.ModuleList(self.heads.values())

    @property
    def last_shared_layers(self):
        return [self.below]

    def shared_parameters(self):
        return list(self.below.parameters())

    def head_parameters(self, task):
        return list(self.heads[task].parameters())

    def representations(self, inputs):
        shared = self.below(inputs).relu()
        return {"size": shared, "good": self.own(shared), "kind": shared}

    def stack(self):
        return None

    def forward(self, inputs):
        return {name: self.heads[name](z) for name, z in self.representations(inputs).items()}


@pytest.mark.parametrize("needs", ["losses", "norms", "gramian", "jacobian"])
def test_several_representations(needs):
    """A task's own layers below its head are trained on w_t L_t, and are no part of the geometry."""
    asked = []

    @dataclass(frozen=True, kw_only=True)
    class Needing(Told):
        pass

    Needing.needs = needs
    torch.manual_seed(0)
    model = TwoTrunks()
    step = TrainingStep(model, make_tasks(), Needing(asked=asked), CPU)
    batch, before = make_batch(), copy.deepcopy(model)
    step(batch)
    before.zero_grad()
    found = losses_of(before, step.tasks, batch)
    sum(w * loss for w, loss in zip(Told.weights, found, strict=True)).backward(retain_graph=True)
    assert close(gradients(model), gradients(before))
    shared = before.shared_parameters()
    rows = [torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)]) for loss in found]
    jacobian = torch.stack(rows)
    if needs == "gramian":
        assert torch.allclose(asked[0].gramian, jacobian @ jacobian.T, rtol=1e-5)
    if needs == "jacobian":
        assert torch.allclose(asked[0].jacobian, jacobian, rtol=1e-5, atol=1e-7)
    if needs == "norms":
        assert torch.allclose(asked[0].norms, jacobian[:, : 6 * 5].norm(dim=1), rtol=1e-5)


def test_representation_needs_one_representation():
    step = TrainingStep(TwoTrunks(), make_tasks(), Told(geometry="representation"), CPU)
    with pytest.raises(UserError, match=r"balancer\.geometry"):
        step(make_batch())


def test_losses_of_labelled_rows_only():
    mask = (torch.arange(24) < 6).float()
    _, step = make(components("balancer")["uniform"]())
    batch = make_batch({"size": mask})
    result = step(batch)
    model, _ = make(components("balancer")["uniform"]())
    with torch.no_grad():
        rows = step.tasks["size"].loss(model(batch.inputs)["size"], batch.targets["size"])
    assert result.counts.tolist() == [6, 24, 24]
    assert float(result.losses[0]) == pytest.approx(float(rows[:6].mean()), rel=1e-6)


def test_losses_that_are_all_nan_name_no_task():
    """A method that sees only losses cannot tell whose gradient it was in the step before."""
    model, step = make(components("balancer")["uniform"]())
    log = StepLog(step, 2, "epoch")
    log.append(step(make_batch()))
    with torch.no_grad():
        model.shared_parameters()[0].fill_(torch.nan)
    log.append(step(make_batch()))
    with pytest.raises(UserError, match="^tasks: all losses are nan in epoch 2, step 2: the step before"):
        log.close()


@pytest.mark.parametrize("name", ["db_mtl", "gradnorm", "mgda", "uw"])
def test_weights_of_sum_t_scale_all_that_has_them(name):
    """What is logged, the trunk's gradient and the heads' are all multiplied by the same factor."""
    paper, summed = (make(positive(components("balancer")[name](scale=scale))) for scale in ("paper", "sum"))
    masks = {"kind": torch.zeros(24)}
    results = [step(make_batch(masks)) for _, step in (paper, summed)]
    factor = results[1].weights[:2] / results[0].weights[:2]
    assert float(results[1].weights[:2].sum()) == pytest.approx(2)
    assert torch.allclose(factor, factor[:1].expand(2), rtol=1e-5)
    found, scaled = (gradients(model) for model, _ in (paper, summed))
    below = [key for key in found if "head" not in key]
    assert all(torch.allclose(scaled[key], factor[0] * found[key], rtol=1e-4, atol=1e-7) for key in below)
    if name == "gradnorm":
        assert torch.allclose(results[1].columns["norm"][:2], factor * results[0].columns["norm"][:2])
        assert results[1].columns["norm"][2].isnan() and results[1].columns["rate"][2].isnan(), "it has no label here"


@pytest.mark.parametrize("name", ["gradnorm", "graddrop", "imtl", "mgda", "uniform"])
def test_heads_with_a_parameter_in_common(name):
    """Each head's part in its gradient has the weight of its own task."""

    class Tied(TwoTrunks):
        def __init__(self):
            super().__init__()
            self.heads["good"].weight = self.heads["size"].weight

    model, batch = Tied(), make_batch()
    step = TrainingStep(model, make_tasks(), positive(components("balancer")[name]()), CPU)
    before = copy.deepcopy(model)
    result = step(batch)
    heads = step.balancer.heads
    expected = expected_gradients(before, step.tasks, batch, result.weights, heads, step.head_weights)
    expected = {key: value for key, value in expected.items() if "_heads" in key}
    found = gradients(model)
    assert close(found, expected)
    if not step.directed:
        before.zero_grad()
        sum(w * loss for w, loss in zip(result.weights, losses_of(before, step.tasks, batch), strict=True)).backward()
        assert close(found, {key: value for key, value in gradients(before).items() if "_heads" not in key})


def test_methods_that_see_the_jacobian_tell_its_gramian():
    model, step = make(components("balancer")["graddrop"]())
    batch, before = make_batch(), copy.deepcopy(model)
    gramian = step(batch).gramian
    shared = before.shared_parameters()
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, shared, retain_graph=True)])
        for loss in losses_of(before, step.tasks, batch)
    ]
    assert torch.allclose(gramian, torch.stack(rows) @ torch.stack(rows).T, rtol=1e-4)


@dataclass
class WeightedByHand(RegressionTask):
    """A task whose loss has the weights of its rows in it: the last column of its target."""

    def loss(self, output, target):
        return target[:, 1] * super().loss(output, target[:, 0])


@pytest.mark.parametrize("method", sorted(components("balancer")))
def test_weights_of_each_task_by_row_are_exact_under_every_balancer(method):
    """Weights in the mask give what the same weights inside the loss, of mean 1, give with no mask."""
    torch.manual_seed(5)
    rows, names = 24, ("a", "b", "c")
    inputs = torch.randn(rows, 5)
    values = {name: torch.randn(rows) for name in names}
    weights = {name: torch.rand(rows) * (torch.rand(rows) < 0.7) for name in names}
    arguments = (1.0, False, "mse", 1.0, "none", None)
    masked = {name: RegressionTask(name, [name], *arguments) for name in names}
    by_hand = {name: WeightedByHand(name, [name], *arguments) for name in names}
    within = {name: torch.stack([values[name], weights[name] / weights[name].mean()], 1) for name in names}
    batches = Batch(inputs, values, weights), Batch(inputs, within, dict.fromkeys(names))
    balancer = components("balancer")[method](**({"in_order": [1.0, 2.0, 0.5]} if method == "static" else {}))
    models = []
    for tasks, batch in zip((masked, by_hand), batches, strict=True):
        model, step = make(balancer, tasks)
        for epoch in (1, 1, 2, 3):
            model.zero_grad()
            result = step(batch, epoch)
            step.settle(1)
            step.after(batch)
        models.append((gradients(model), result))
    (found, mine), (expected, other) = models
    torch.testing.assert_close(mine.losses, other.losses)
    torch.testing.assert_close(mine.weights, other.weights, rtol=1e-4, atol=1e-5)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6)
