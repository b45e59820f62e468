"""TabM: its members, what a step does with them, every balancer, and the command."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import pytest
import torch

from mtl_cli.balancing.base import Decision, GramianBalancer
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Head, Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.embeddings import Embeddings
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.models.trunks.tabm import TabM
from mtl_cli.tasks.links import log_of_mean, logit_of_mean
from tests.balancing.test_step import CPU, METHODS, close, gradients, make_batch, make_tasks, positive
from tests.conftest import InProcess, houses

SMALL: dict[str, Any] = {"members": 3, "width": 8, "dropout": 0.0, "embeddings": Embeddings(kind="linear", width=2)}
ARCHITECTURES = ["tabm", "mini", "packed"]
SPEC = InputSpec("features", (5,))


def make(balancer: Any, head: Head | None = None, **keys: Any) -> tuple[Network, TrainingStep]:
    tasks = make_tasks()
    torch.manual_seed(0)
    model = build_network(Model(trunk=TabM(**{**SMALL, **keys}), head=head or Head()), SPEC, shapes(tasks))
    return model, TrainingStep(model, tasks, balancer, CPU)


def members_losses(model: Network, step: TrainingStep, batch: Any, z: Any = None) -> list[torch.Tensor]:
    """Return each task's loss, member by member: Σ_i L(member i) / k."""
    z = model.representations(batch.inputs)["size"] if z is None else z
    found = []
    for name, task in step.tasks.items():
        output, mask = model.heads[name](z), batch.masks[name]
        own = []
        for i in range(output.shape[1]):
            rows = task.loss(output[:, i], batch.targets[name])
            own.append(rows.mean() if mask is None else (rows * mask).sum() / mask.sum())
        found.append(torch.stack(own).mean() * task.weight)
    return found


def jacobian(losses: list[torch.Tensor], parameters: list[Any]) -> torch.Tensor:
    found = [torch.autograd.grad(loss, parameters, retain_graph=True) for loss in losses]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in found])


@pytest.mark.parametrize("name", METHODS)
def test_every_balancer(name: str) -> None:
    """.grad is the gradient of Σ w_t L_t, some rows without a label, and the weights stay finite."""
    balancer = positive(components("balancer")[name]())
    model, step = make(balancer)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    batch = make_batch({"good": (torch.arange(24) % 3 > 0).float()})
    for _ in range(2):
        optimizer.zero_grad()
        before = copy.deepcopy(model)
        result = step(batch)
        losses = members_losses(before, step, batch)
        assert torch.allclose(result.losses * step.task_weights, torch.stack(losses), atol=1e-6)
        assert result.weights.isfinite().all()
        if not step.directed:
            shared = before.shared_parameters()
            pulls = [w * loss for w, loss in zip(result.weights, losses, strict=True)]
            for parameter, g in zip(shared, torch.autograd.grad(sum(pulls), shared, retain_graph=True), strict=True):
                parameter.grad = g
            units = [1.0] * len(losses) if step.head_weights is None else step.head_weights
            for task, pull, loss, unit in zip(step.tasks, pulls, losses, units, strict=True):
                own = before.head_parameters(task)
                target = unit * loss if balancer.heads == "unit" else pull
                for parameter, g in zip(own, torch.autograd.grad(target, own, retain_graph=True), strict=True):
                    parameter.grad = g
            assert close(gradients(model), gradients(before))
        optimizer.step()
        step.after(batch)


@dataclass(frozen=True, kw_only=True)
class Seeing(GramianBalancer):
    """Weighs all tasks the same, and remembers what it saw."""

    seen: Any = None

    def init_state(self, tasks: list[str], device: torch.device) -> dict[str, torch.Tensor]:
        return {}

    def decide(self, state: Any, statistics: Any) -> Decision:
        self.seen.append(statistics)
        return Decision(torch.ones(len(statistics.losses)), state)


@dataclass(frozen=True, kw_only=True)
class SeeingNorms(Seeing):
    needs: ClassVar[Any] = "norms"


@pytest.mark.parametrize("geometry", ["parameters", "representation"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_gramian_is_that_of_a_pass_per_task(architecture: str, geometry: str) -> None:
    seen: list[Any] = []
    model, step = make(Seeing(seen=seen, geometry=geometry), architecture=architecture, head=Head(hidden=[4]))
    batch, before = make_batch(), copy.deepcopy(model)
    step(batch)
    losses, wanted = members_losses(before, step, batch), before.shared_parameters()
    if geometry == "representation":
        z = before.representations(batch.inputs)["size"].detach().requires_grad_()
        losses, wanted = members_losses(before, step, batch, z), [z]
    rows = jacobian(losses, wanted)
    assert torch.allclose(seen[0].gramian, rows @ rows.T, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_norms_are_those_at_the_last_shared_layer(architecture: str) -> None:
    seen: list[Any] = []
    model, step = make(SeeingNorms(seen=seen), architecture=architecture)
    batch, before = make_batch(), copy.deepcopy(model)
    step(batch)
    layer = dict(before.named_modules())[next(n for n, m in model.named_modules() if m is model.last_shared_layer)]
    assert torch.allclose(
        seen[0].norms, jacobian(members_losses(before, step, batch), [layer.weight]).norm(dim=1), rtol=1e-4
    )


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_members_differ_and_are_merged(architecture: str) -> None:
    model, _ = make(components("balancer")["uniform"](), architecture=architecture)
    batch = make_batch()
    z = model.representations(batch.inputs)["size"].detach()
    assert z.shape == (24, 3, 8)
    assert float(z.std(1).mean()) > 0.01
    merged = model(batch.inputs)
    outputs = {name: head(z) for name, head in model.heads.items()}
    assert torch.allclose(merged["size"], outputs["size"].mean(1))
    assert torch.allclose(merged["good"].sigmoid(), outputs["good"].sigmoid().mean(1), atol=1e-6)
    assert torch.allclose(merged["kind"].softmax(-1), outputs["kind"].softmax(-1).mean(1), atol=1e-6)


@pytest.mark.parametrize("name", ["none", "soft", "mmoe", "cgc", "dselect_k"])
def test_sharing_schemes(name: str) -> None:
    """Each gives an ensemble to every task: the losses are the members' means, and every weight gets its gradient."""
    sharing = components("sharing")[name](budget="each")
    tasks = make_tasks()
    model = build_network(Model(trunk=TabM(**SMALL), sharing=sharing), SPEC, shapes(tasks))
    step = TrainingStep(model, tasks, components("balancer")["uniform"](), CPU)
    batch, before = make_batch(), copy.deepcopy(model)
    step(batch)
    found = before.representations(batch.inputs)
    assert {tuple(z.shape) for z in found.values()} == {(24, 3, 8)}
    losses = [members_losses(before, step, batch, found[task])[i] for i, task in enumerate(tasks)]
    torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    assert close(gradients(model), gradients(before))


def test_a_total_budget_makes_it_narrower() -> None:
    def parameters(kind: str) -> int:
        config = Model(trunk=TabM(**{**SMALL, "width": 32}), sharing=components("sharing")[kind]())
        return sum(p.numel() for p in build_network(config, SPEC, shapes(make_tasks())).parameters())

    assert 0.8 * parameters("hard") < parameters("none") <= parameters("hard")


def test_merged_probabilities_do_not_overflow() -> None:
    logits = torch.tensor([[[200.0], [190.0]], [[-200.0], [-190.0]], [[200.0], [-200.0]]])
    expected = [[200 - (torch.tensor(10.0).exp() + 1).log() + torch.tensor(2.0).log()]]
    found = logit_of_mean(logits)
    assert found[0, 0] == pytest.approx(float(expected[0][0]))
    assert found[1, 0] == pytest.approx(-float(expected[0][0]))
    assert found[2, 0] == pytest.approx(0.0, abs=1e-6)
    assert log_of_mean(torch.tensor([[[300.0, 0.0], [0.0, 300.0]]])).softmax(-1).tolist() == [[0.5, 0.5]]


def test_an_ensemble_of_one_is_a_plain_network() -> None:
    """Without members, a loss or a gradient is what it would be of a perceptron with those weights."""
    model, step = make(components("balancer")["uniform"](), architecture="packed", members=1)
    batch, other = make_batch(), copy.deepcopy(model)
    step(batch)
    merged = other(batch.inputs)
    losses = [task.loss(merged[n], batch.targets[n]).mean() * task.weight for n, task in step.tasks.items()]
    torch.stack(losses).sum().backward()
    assert close(gradients(model), gradients(other))


def test_it_learns_better_than_its_members() -> None:
    """On a generated table, and better than the best constant by far."""
    torch.manual_seed(0)
    inputs = torch.rand(600, 5) * 2 - 1
    noise = 0.3 * torch.randn(600)
    target = 2 * (torch.pi * inputs[:, 0] * inputs[:, 1]).sin() + inputs[:, 2].abs() + inputs[:, 3] + noise
    tasks = {"size": make_tasks()["size"]}
    trunk = TabM(members=8, width=32, embeddings=Embeddings(kind="linear", width=4))
    model = build_network(Model(trunk=trunk), SPEC, shapes(tasks))
    step = TrainingStep(model, tasks, components("balancer")["uniform"](), CPU)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    batch = replace(make_batch(), inputs=inputs[:300], targets={"size": target[:300]}, masks={"size": None})
    for _ in range(150):
        optimizer.zero_grad()
        step(batch)
        optimizer.step()
    model.eval()
    with torch.no_grad():
        truth = target[300:, None]
        together = float((model(inputs[300:])["size"] - truth).square().mean())
        each = (model.heads["size"](model.representations(inputs[300:])["size"])[..., 0] - truth).square().mean(0)
    assert together < 0.4 * float(truth.var())
    assert together < float(each.min())


def test_the_command(mtl: InProcess) -> None:
    """Categories, missing values and missing labels in; predictions from the model file are those of the run."""
    houses().to_csv("houses.csv", index=False)
    tasks = "tasks={price: regression, sold: binary, kind: multiclass, tags: multilabel}"
    status, _, err = mtl(
        "train", "dataset=houses.csv", "dataset.id=house", tasks, "model=tabm", "model.trunk.members=4",
        "model.trunk.width=16", "model.trunk.embeddings={kind: piecewise, width: 4}", "model.heads.sold.hidden=[8]",
        "balancer=upgrad", "trainer.epochs=20", "optimizer.lr=3e-3", "plots=false", "run_dir=run",
    )  # fmt: skip
    assert status == 0, err
    history = pd.read_csv("run/mtl_history.csv")
    assert history["val_score"].max() > history["val_score"].iloc[0] + 0.1
    status, _, err = mtl("predict", "run", "houses.csv", "--output", "all.csv")
    assert status == 0, err
    test, everything = pd.read_csv("run/predictions.csv"), pd.read_csv("all.csv").set_index("house")
    again = everything.loc[test["house"]].reset_index()
    for name in again.columns:
        if again[name].dtype == float:
            assert again[name].to_numpy() == pytest.approx(test[name].to_numpy(), rel=1e-4), name
        else:
            assert again[name].equals(test[name]), name
    status, out, err = mtl("evaluate", "run")
    assert status == 0, err
    assert '"price"' in out


@pytest.mark.slow
def test_wine_beats_the_trees(mtl: InProcess) -> None:
    """On rows that repeat none trained or chosen on, where extra trees have 0.362 (tests.bench.tabular)."""
    status, _, err = mtl(
        "train", "dataset=wine", "model=tabm", "optimizer=adamw", "scheduler=cosine", "trainer.epochs=25",
        "trainer.early_stopping=null", "plots=false", "run_dir=run",
    )  # fmt: skip
    assert status == 0, err
    unseen = json.loads(Path("run/metrics.json").read_text())["splits"]["test_unseen"]["tasks"]["quality"]
    assert unseen["rows"] == 256
    assert unseen["mse"] <= 0.36
