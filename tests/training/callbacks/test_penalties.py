"""What is added to the task losses: where it acts, who sees it, and where it is reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mtl_cli.balancing.methods.gradnorm import GradNorm
from mtl_cli.balancing.methods.mgda import MGDA
from mtl_cli.balancing.methods.uniform import Uniform
from mtl_cli.models.network import Network
from mtl_cli.models.regularizers.group_lasso import GroupLasso
from mtl_cli.models.regularizers.l2 import L2
from mtl_cli.models.regularizers.nuclear import NuclearNorm
from mtl_cli.models.regularizers.prior import SharedPrior
from mtl_cli.training.optimizers import SGD, Adam
from mtl_cli.training.schedulers import StepDecay
from tests.models.small import train


def problem(rows: int = 64) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    x = random.normal(size=(rows, 4))
    return x, {"a": x[:, 0] + x[:, 1], "b": 3 * x[:, 1] - x[:, 2]}


@pytest.mark.parametrize("balancer", [GradNorm(), MGDA()])
@pytest.mark.parametrize("regularizer", [L2(strength=5), NuclearNorm(strength=5), SharedPrior()])
def test_no_balancer_sees_it(balancer: Any, regularizer: Any) -> None:
    """What the balancer saw and did in the first step is the same with it and without."""
    x, y = problem()
    rows = [
        train(x, y, acting, hidden=[5], balancer=balancer, epochs=2).epochs[0].balance[0]
        for acting in (None, regularizer)
    ]
    assert rows[0] == rows[1]
    columns = train(x, y, regularizer, hidden=[5], balancer=balancer, epochs=2).history
    assert columns[0]["loss_total"] == train(x, y, hidden=[5], balancer=balancer, epochs=1).history[0]["loss_total"]


def test_one_step_is_as_written_out() -> None:
    """The gradient of the losses and the term, clipped together, then the optimizer's step, then the proximal one."""
    x, y = problem()
    before = train(x, y, epochs=1, optimizer=SGD(lr=1e-12))
    head = {t: (run.weight.detach().clone(), run.bias.detach().clone()) for t, run in before.network.heads.items()}
    inputs = torch.tensor(x).float()
    leaves = [p.clone().requires_grad_() for pair in head.values() for p in pair]
    losses = [
        ((inputs @ leaves[2 * i][0] + leaves[2 * i + 1] - torch.tensor(v).float()) ** 2).mean()
        for i, v in enumerate(y.values())
    ]
    term = 0.5 * (leaves[0].square().sum() + leaves[2].square().sum())
    gradients = torch.autograd.grad(torch.stack(losses).sum() + term, leaves)
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    for clip in (None, 0.7):
        found = train(x, y, L2(strength=0.5), epochs=1, optimizer=SGD(lr=0.1), clip_norm=clip)
        factor = 1.0 if clip is None else float(clip / norm)
        for i, run in enumerate(found.network.heads.values()):
            # one step of SGD with Nesterov momentum is lr (1 + momentum) times the gradient
            assert torch.allclose(run.weight, leaves[2 * i] - 0.19 * factor * gradients[2 * i], atol=1e-6)


def test_the_proximal_step_follows_the_schedule_and_the_momentum() -> None:
    """From zero data gradient: the length of each column falls by lr λ / (1 − momentum) a step."""
    x = np.zeros((10, 3))
    y = {"a": np.zeros(10), "b": np.zeros(10)}
    y["a"][0] = y["b"][0] = 1e-3  # a label may not be constant
    start = np.linalg.norm(train(x, y, epochs=1).stacked(), axis=0)
    optimizer = SGD(lr=0.02, momentum=0.5, nesterov=False)
    found = train(x, y, GroupLasso(strength=1.0), epochs=4, optimizer=optimizer, scheduler=StepDecay(every=2))
    fall = (0.02 + 0.02 + 0.002 + 0.002) / 0.5
    assert np.linalg.norm(found.stacked(), axis=0) == pytest.approx(np.maximum(start - fall, 0), abs=1e-6)


def test_the_history_has_columns_of_its_own() -> None:
    x, y = problem()
    found = train(x, y, NuclearNorm(strength=0.3), epochs=5)
    names = list(found.history[0])
    assert names[names.index("loss_b") + 1] == "penalty_term"
    assert found.history[-1]["penalty_term"] == pytest.approx(0.3 * np.linalg.norm(found.stacked(), "nuc"), rel=1e-5)
    last = found.history[-1]
    assert last["loss_total"] == pytest.approx(last["loss_a"] + last["loss_b"], rel=1e-6)


def test_what_a_sharing_scheme_asks_for_is_added_and_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = problem()
    free = train(x, y, epochs=200)
    monkeypatch.setattr(
        Network, "penalty", lambda self: 2 * sum(head.weight.square().sum() for head in self.heads.values())
    )
    found = train(x, y, epochs=200)
    assert np.linalg.norm(found.stacked()) < 0.6 * np.linalg.norm(free.stacked())
    ridge = train(x, y, L2(strength=2.0), epochs=200)
    assert found.history[-1]["penalty_sharing"] > 0
    monkeypatch.undo()
    assert train(x, y, L2(strength=2.0), epochs=200).stacked() == pytest.approx(found.stacked(), abs=1e-4)
    assert ridge.history[-1].keys() >= {"penalty_sharing", "penalty_term"}


def test_nothing_is_added_without_a_term() -> None:
    x, y = problem()
    assert not [name for name in train(x, y, epochs=1).history[0] if name.startswith("penalty")]


def test_the_loop_waits_for_nothing_within_an_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """No term reads a tensor's number between the first step of an epoch and its last."""
    from mtl_cli.training.callbacks.penalties import Penalties

    waiting: list[str] = []
    inside: list[bool] = []
    for name in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__", "__index__"):
        real = getattr(torch.Tensor, name)

        def read(self: torch.Tensor, *arguments: Any, real: Any = real, name: str = name) -> Any:
            if inside:
                waiting.append(name)
            return real(self, *arguments)

        monkeypatch.setattr(torch.Tensor, name, read)
    for name in ("add", "proximal_step"):
        real = getattr(Penalties, name)

        def watched(self: Penalties, *arguments: Any, real: Any = real) -> None:
            inside.append(True)
            real(self, *arguments)
            inside.clear()

        monkeypatch.setattr(Penalties, name, watched)
    x, y = problem()
    for regularizer in (L2(), NuclearNorm(), GroupLasso(), SharedPrior()):
        train(x, y, regularizer, hidden=[5], epochs=2, batch_size=16, balancer=Uniform(), optimizer=Adam())
    assert not waiting


@pytest.mark.parametrize("regularizer", [L2(strength=0.3), NuclearNorm(strength=0.3), SharedPrior(every=100)])
def test_batches_that_add_up_feel_it_once(regularizer: Any) -> None:
    """Four batches of 16 before each step are the whole of 64 rows."""
    x, y = problem()
    whole = train(x, y, regularizer, epochs=40)
    pieces = train(x, y, regularizer, epochs=40, batch_size=16, accumulate=4)
    assert pieces.stacked() == pytest.approx(whole.stacked(), abs=1e-5)


def test_a_task_counts_as_often_as_it_is_there() -> None:
    """Of two batches that add up, one has no label of a task: its share of the prior's term is a half."""
    x, y = problem()
    found = train(x, y, SharedPrior(), epochs=1)
    regularizer = found.regularizer
    assert regularizer is not None
    both = float(regularizer.penalty().detach())
    parts = [float(regularizer.penalty(torch.tensor(share)).detach()) for share in ([1.0, 0.0], [0.0, 1.0])]
    assert sum(parts) == pytest.approx(both)
    assert float(regularizer.penalty(torch.tensor([0.5, 1.0])).detach()) == pytest.approx(0.5 * parts[0] + parts[1])
