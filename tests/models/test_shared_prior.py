"""The shared prior: its evidence against the closed form, what it learns, and what that is worth."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import log_expit

from mtl_cli.config.errors import UserError
from mtl_cli.models.evidence import curvature, posterior
from mtl_cli.models.regularizers.prior import SharedPrior
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.training.optimizers import SGD
from tests.models.small import Trained, train

WIDTH = 8


def family(
    seed: int, tasks: int = 6, rows: int = 40, few: int = 20, spread: float = 0.3, noise: float = 1.0
) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
    """Return linear tasks drawn about a common mean, all on the same rows; the first has ``few`` labels."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, WIDTH))
    w = random.normal(size=WIDTH) + spread * random.normal(size=(tasks, WIDTH))
    y = {f"t{i}": x @ row + noise * random.normal(size=rows) for i, row in enumerate(w)}
    y["t0"][few:] = np.nan
    return x, y, w


def learnt(run: Trained) -> Any:
    return run.regularizer


def bias(run: Trained, task: str) -> float:
    return float(run.network.heads[task].bias.detach())


def test_the_evidence_is_the_closed_form_for_linear_gaussian_tasks() -> None:
    """log N(y_t − b_t | X μ, s_t² I + X Σ Xᵀ), at the μ, Σ and s_t² that the weights are the mode for.

    ``every`` keeps the prior as it starts, so that training ends at its mode exactly.
    """
    x, y, _ = family(0)
    run = train(x, y, SharedPrior(every=10_000), epochs=250, optimizer=SGD(lr=0.1))
    prior = learnt(run)
    prior.variance.fill_(0.5)
    prior.mean.fill_(0.3)
    for state in prior.states.values():
        state.noise = 0.8
    prior._factors = prior._term_factors()
    for _ in range(300):  # on to the mode under these
        run.network.zero_grad()
        losses = [((x_t @ head.weight[0] + head.bias - y_t) ** 2).mean() for head, x_t, y_t in rows_of(run, x, y)]
        (torch.stack(losses).sum() + prior.penalty()).backward()
        with torch.no_grad():
            for head in run.network.heads.values():
                head.weight -= 0.1 * head.weight.grad
    prior._learn()
    expected = 0.0
    for task, labels in y.items():
        known = ~np.isnan(labels)
        residual = labels[known] - bias(run, task) - x[known] @ np.full(WIDTH, 0.3)
        covariance = 0.8 * np.eye(known.sum()) + 0.5 * x[known] @ x[known].T
        _, log_det = np.linalg.slogdet(2 * np.pi * covariance)
        expected += -0.5 * log_det - 0.5 * residual @ np.linalg.solve(covariance, residual)
    assert prior._evidence == pytest.approx(expected, rel=1e-5)


def rows_of(run: Trained, x: np.ndarray, y: dict[str, np.ndarray]) -> list[tuple[Any, torch.Tensor, torch.Tensor]]:
    known = {task: ~np.isnan(labels) for task, labels in y.items()}
    return [
        (run.network.heads[task], torch.tensor(x[known[task]]).float(), torch.tensor(labels[known[task]]).float())
        for task, labels in y.items()
    ]


def test_the_weights_are_at_the_mode() -> None:
    """(XᵀX/s_t² + Σ⁻¹) w_t = Xᵀ(y − b_t)/s_t² + Σ⁻¹ μ."""
    x, y, _ = family(1)
    run = train(x, y, SharedPrior(every=10_000), epochs=400, optimizer=SGD(lr=0.05))
    prior = learnt(run)
    mean, variance = prior.mean[0].double().numpy(), prior.variance[0].double().numpy()
    # ``every`` counts from the first epoch, after which the prior stood still
    for task, labels in y.items():
        known = ~np.isnan(labels)
        noise = prior.states[task].noise
        precision = x[known].T @ x[known] / noise + np.diag(1 / variance)
        right = x[known].T @ (labels[known] - bias(run, task)) / noise + mean / variance
        assert run.weight(task) == pytest.approx(np.linalg.solve(precision, right), abs=2e-3)


def test_learning_raises_the_evidence_to_its_maximum() -> None:
    """What EM ends at is no worse than what a general optimizer finds for the closed form."""
    x, y, _ = family(2, tasks=8, rows=60)
    run = train(x, y, SharedPrior(), epochs=200, optimizer=SGD(lr=0.05, momentum=0.8))
    evidence = [row["evidence_prior"] for row in run.history]
    assert evidence[-1] > evidence[5] + 1
    assert np.diff(evidence[60:]).min() > -0.01  # before that the weights are on their way
    centred = {task: (x[~np.isnan(v)], v[~np.isnan(v)] - bias(run, task)) for task, v in y.items()}

    def negative(numbers: np.ndarray) -> float:
        mean, variance, noises = numbers[:WIDTH], np.exp(numbers[WIDTH]), np.exp(numbers[WIDTH + 1 :])
        total = 0.0
        for (inputs, labels), noise in zip(centred.values(), noises, strict=True):
            covariance = noise * np.eye(len(labels)) + variance * inputs @ inputs.T
            residual = labels - inputs @ mean
            total += 0.5 * np.linalg.slogdet(2 * np.pi * covariance)[1]
            total += 0.5 * residual @ np.linalg.solve(covariance, residual)
        return float(total)

    found = minimize(negative, np.zeros(WIDTH + 1 + len(y)), method="L-BFGS-B")
    assert evidence[-1] == pytest.approx(-found.fun, abs=0.5)
    prior = learnt(run)
    assert float(prior.variance.mean()) == pytest.approx(np.exp(found.x[WIDTH]), rel=0.25)
    assert prior.mean[0].numpy() == pytest.approx(found.x[:WIDTH], abs=0.1)


@pytest.mark.slow
def test_a_task_with_few_rows_is_shrunk_towards_the_rest_and_predicts_better() -> None:
    """Six tasks about one mean; the first has 20 labels of 200 rows. Test error over 6 draws of the family."""
    errors: dict[str, list[float]] = {"alone": [], "prior": [], "others alone": [], "others prior": []}
    distances = []
    test = np.random.default_rng(99).normal(size=(2000, WIDTH))
    for seed in range(6):
        x, y, w = family(seed, rows=200)
        mean = w[1:].mean(0)
        runs = {
            "alone": train(x, y, epochs=60, optimizer=SGD(lr=0.05)),
            "prior": train(x, y, SharedPrior(), epochs=60, optimizer=SGD(lr=0.05)),
        }
        for name, run in runs.items():
            misses = {t: np.mean((test @ (run.weight(t) - w[i]) + bias(run, t)) ** 2) for i, t in enumerate(y)}
            errors[name].append(misses.pop("t0"))
            errors[f"others {name}"].append(float(np.mean(list(misses.values()))))
        distances.append([np.linalg.norm(run.weight("t0") - mean) for run in runs.values()])
    alone, prior = np.array(errors["alone"]), np.array(errors["prior"])
    assert prior.mean() < 0.6 * alone.mean()
    assert (prior < alone).mean() >= 0.8
    assert np.mean(errors["others prior"]) < 1.02 * np.mean(errors["others alone"])
    assert np.array(distances)[:, 1].mean() < 0.8 * np.array(distances)[:, 0].mean()


def test_unlike_tasks_are_left_apart() -> None:
    x, y, _ = family(3, rows=200, spread=5.0)
    run = train(x, y, SharedPrior(), epochs=150, optimizer=SGD(lr=0.05))
    free = train(x, y, epochs=150, optimizer=SGD(lr=0.05))
    assert run.history[-1]["scale_prior"] == pytest.approx(5, rel=0.3)
    assert run.weight("t1") == pytest.approx(free.weight("t1"), abs=0.02)


def test_batches_in_which_a_task_is_absent_do_not_shrink_it_more() -> None:
    """20 labels among 200 rows: in batches of 10 the task is often absent."""
    x, y, _ = family(4, rows=200)
    whole = train(x, y, SharedPrior(), epochs=100, optimizer=SGD(lr=0.05))
    random = np.random.default_rng(0).permutation(200)
    pieces = train(x[random], {t: v[random] for t, v in y.items()}, SharedPrior(every=5), epochs=50,
                   batch_size=10, optimizer=SGD(lr=0.006, momentum=0.0))  # fmt: skip
    assert np.linalg.norm(pieces.weight("t0") - whole.weight("t0")) < 0.25
    assert pieces.history[-1]["scale_prior"] == pytest.approx(whole.history[-1]["scale_prior"], rel=0.2)


def test_laplace_for_yes_or_no_labels() -> None:
    """At the mode: the second derivative and the evidence as written out with NumPy."""
    random = np.random.default_rng(5)
    x = random.normal(size=(80, 3))
    w = np.array([1.0, -1.0, 0.5]) + 0.3 * random.normal(size=(4, 3))
    y = {f"t{i}": (x @ row + random.logistic(size=80) > 0) for i, row in enumerate(w)}
    run = train(x, y, SharedPrior(scale="diagonal"), kinds=dict.fromkeys(y, Binary()), epochs=60)
    prior = learnt(run)
    mean, variance = prior.mean[0].double().numpy(), prior.variance[0].double().numpy()
    found = curvature(run.training, list(y))
    prior._learn()
    expected = 0.0
    for task, labels in y.items():
        logits = x @ run.weight(task) + bias(run, task)
        p = 1 / (1 + np.exp(-logits))
        hessian = (x * (p * (1 - p))[:, None]).T @ x
        assert found[task].hessian[0].numpy() == pytest.approx(hessian, rel=1e-4)
        miss = run.weight(task) - mean
        expected += log_expit(np.where(labels, logits, -logits)).sum() - 0.5 * (miss**2 / variance).sum()
        expected -= 0.5 * np.linalg.slogdet(np.eye(3) + np.diag(variance) @ hessian)[1]
    assert prior._evidence == pytest.approx(expected, rel=1e-4)


def test_the_posterior_of_each_output() -> None:
    random = np.random.default_rng(6)
    roots = random.normal(size=(2, 4, 4))
    precision, variance = roots @ roots.transpose(0, 2, 1), random.uniform(0.1, 2, size=(2, 4))
    covariance, log_det = posterior(torch.from_numpy(precision), torch.from_numpy(variance))
    for c in range(2):
        inverse = np.linalg.inv(precision[c] + np.diag(1 / variance[c]))
        assert covariance[c].numpy() == pytest.approx(inverse, rel=1e-9)
    total = sum(np.linalg.slogdet(np.eye(4) + np.diag(variance[c]) @ precision[c])[1] for c in range(2))
    assert log_det == pytest.approx(total, rel=1e-9)


def test_hidden_layers_and_classes() -> None:
    """Two tasks of three classes, heads with a layer of their own below the last."""
    random = np.random.default_rng(7)
    x = random.normal(size=(120, 5))
    kinds = {"a": Multiclass(), "b": Multiclass()}
    y = {name: np.array(["x", "y", "z"])[(x @ random.normal(size=(5, 3))).argmax(1)] for name in kinds}
    run = train(x, y, SharedPrior(scale="diagonal"), kinds=kinds, hidden=[6], head=[4], epochs=80)
    evidence = [row["evidence_prior"] for row in run.history]
    assert np.isfinite(evidence).all()
    assert evidence[-1] > evidence[0]
    assert learnt(run).variance.shape == (3, 4)


def test_tasks_of_other_shapes_are_named() -> None:
    x, y, _ = family(8)
    y = {"a": y["t1"], "b": y["t2"], "k": np.where(x[:, 0] > 1, "x", np.where(x[:, 0] > 0, "y", "z"))}
    kinds = {"k": Multiclass()}
    with pytest.raises(UserError, match=r"regularizer.tasks: .* a's head has 1 × 8 weights, k's 3 × 8; name tasks"):
        train(x, y, SharedPrior(), kinds=kinds, epochs=1)
    run = train(x, y, SharedPrior(tasks=["b", "a"]), kinds=kinds, epochs=3)
    assert list(learnt(run).states) == ["b", "a"]
