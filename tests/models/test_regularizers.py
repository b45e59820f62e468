"""What the regularisers make of the tasks' weights, against closed forms and on generated tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.errors import UserError
from mtl_cli.models.regularizers.graph import Graph
from mtl_cli.models.regularizers.group_lasso import GroupLasso, column_factors
from mtl_cli.models.regularizers.l2 import L2
from mtl_cli.models.regularizers.nuclear import NuclearNorm, nuclear_norm, soft_threshold
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.training.optimizers import SGD, Adam
from tests.models.small import train

MATRICES = st.builds(
    lambda seed, rows, columns, scale: scale * np.random.default_rng(seed).normal(size=(rows, columns)),
    st.integers(0, 2**31), st.integers(1, 6), st.integers(1, 6), st.floats(0.1, 10),
)  # fmt: skip


def inputs(rows: int = 200, width: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, width))


# The proximal operators


@settings(derandomize=True, max_examples=60, deadline=None)
@given(MATRICES, st.floats(0, 5))
def test_soft_thresholding_solves_its_problem(matrix: np.ndarray, threshold: float) -> None:
    """0 ∈ V − M + t ∂‖V‖_*: (M − V)/t has spectral norm ≤ 1, and ⟨M − V, V⟩ = t ‖V‖_*."""
    found = soft_threshold(torch.from_numpy(matrix), threshold).numpy()
    residual = matrix - found
    assert np.linalg.norm(residual, 2) <= threshold + 1e-9
    assert np.sum(residual * found) == pytest.approx(threshold * np.linalg.norm(found, "nuc"), abs=1e-8)
    values = np.maximum(np.linalg.svd(matrix, compute_uv=False) - threshold, 0)
    assert np.linalg.svd(found, compute_uv=False) == pytest.approx(values, abs=1e-9)


@settings(derandomize=True, max_examples=60, deadline=None)
@given(MATRICES, st.floats(0, 5))
def test_column_shrinkage_solves_its_problem(matrix: np.ndarray, threshold: float) -> None:
    """For each column: ‖m − v‖ ≤ t, with equality and in v's direction where v ≠ 0."""
    found = matrix * column_factors(torch.from_numpy(matrix), threshold).numpy()
    for m, v in zip(matrix.T, found.T, strict=True):
        if v.any():
            assert m - v == pytest.approx(threshold * v / np.linalg.norm(v), abs=1e-9)
        else:
            assert np.linalg.norm(m) <= threshold + 1e-9


def test_the_proximal_operators_at_the_edges() -> None:
    zeros = torch.zeros(3, 4)
    assert torch.equal(soft_threshold(zeros, 1.0), zeros)
    assert torch.equal(column_factors(zeros, 1.0) * zeros, zeros)
    broken = torch.tensor([[1.0, float("nan")], [2.0, 3.0]])
    assert torch.equal(soft_threshold(broken, 0.1).isnan(), broken.isnan())  # the run then ends in one line


@settings(derandomize=True, max_examples=40, deadline=None)
@given(MATRICES, st.integers(0, 2**31))
def test_the_nuclear_norm_and_its_subgradient(matrix: np.ndarray, seed: int) -> None:
    """‖M + D‖_* ≥ ‖M‖_* + ⟨G, D⟩ for every D."""
    here = torch.from_numpy(matrix).requires_grad_()
    norm = nuclear_norm(here)
    norm.backward()
    assert float(norm.detach()) == pytest.approx(np.linalg.norm(matrix, "nuc"), rel=1e-6)
    assert here.grad is not None
    step = np.random.default_rng(seed).normal(size=matrix.shape)
    after = np.linalg.norm(matrix + step, "nuc")
    assert after >= float(norm.detach()) + np.sum(here.grad.numpy() * step) - 1e-5 * (1 + after)


# On linear tasks


def test_l2_is_ridge_regression() -> None:
    x, noise = inputs(), np.random.default_rng(1).normal(size=200)
    y = {"a": x @ np.arange(6) + 3 + noise, "b": -x[:, 1] + 0.1 * noise}
    found = train(x, y, L2(strength=0.2), epochs=600)
    centred = x - x.mean(0)
    for task, labels in y.items():
        gramian = centred.T @ centred / len(x) + 0.2 * np.eye(6)
        ridge = np.linalg.solve(gramian, centred.T @ (labels - labels.mean()) / len(x))
        assert found.weight(task) == pytest.approx(ridge, abs=1e-4)  # and the bias is free
    assert found.history[-1]["penalty_term"] == pytest.approx(0.2 * (found.stacked() ** 2).sum(), rel=1e-5)


def test_l2_of_a_part_counts_that_part() -> None:
    x = inputs()
    y = {"a": x[:, 0], "b": x[:, 1]}
    free, heads, trunk = (
        train(x, y, regularizer, hidden=[5], epochs=60)
        for regularizer in (None, L2(strength=0.05, part="heads"), L2(strength=0.05, part="trunk"))
    )
    below = [float(run.network.trunks()[0][0].weight.detach().norm()) for run in (free, heads, trunk)]
    above = [float(np.linalg.norm(run.stacked())) for run in (free, heads, trunk)]
    assert heads.history[-1]["penalty_term"] == pytest.approx(0.05 * above[1] ** 2, rel=1e-5)
    assert trunk.history[-1]["penalty_term"] == pytest.approx(0.05 * below[2] ** 2, rel=1e-5)
    assert above[1] < 0.9 * above[0]
    assert below[2] < 0.9 * below[0]


def low_rank(tasks: int = 8, rows: int = 60, noise: float = 1.0, seed: int = 0) -> tuple[np.ndarray, dict, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 10))
    w = random.normal(size=(tasks, 2)) @ random.normal(size=(2, 10))
    return x, {f"t{i}": x @ row + noise * random.normal(size=rows) for i, row in enumerate(w)}, w


def rank(matrix: np.ndarray) -> int:
    values = np.linalg.svd(matrix, compute_uv=False)
    return int((values > 1e-4 * values[0]).sum())


FAST = SGD(lr=0.03, momentum=0.8)


@pytest.mark.parametrize(("optimizer", "strength"), [(SGD(lr=0.1, momentum=0.0), 1.5), (FAST, 1.5), (Adam(lr=0.02), 3)])
def test_the_nuclear_norm_lowers_the_rank(optimizer: object, strength: float) -> None:
    """Eight tasks whose weights span two directions, 60 rows of ten noisy inputs."""
    x, y, _ = low_rank()
    assert rank(train(x, y, optimizer=optimizer, epochs=150).stacked()) == 8
    assert rank(train(x, y, NuclearNorm(strength=strength), optimizer=optimizer, epochs=250).stacked()) == 2


def test_the_nuclear_norm_comes_nearer_to_weights_of_low_rank() -> None:
    gains = []
    for seed in range(3):
        x, y, w = low_rank(seed=seed)
        errors = [np.linalg.norm(train(x, y, r, optimizer=FAST, epochs=150).stacked() - w)
                  for r in (None, NuclearNorm(strength=0.6))]  # fmt: skip
        gains.append(errors[1] / errors[0])
    assert np.mean(gains) < 0.85


def test_the_proximal_way_reaches_the_optimum() -> None:
    """At the optimum of Σ_t mean (x·w_t + b_t − y_t)² + λ‖W‖_*, −∇ is λ times a subgradient of the norm at W."""
    x, y, _ = low_rank()
    w = train(x, y, NuclearNorm(strength=0.6), epochs=400, optimizer=FAST).stacked()
    centred = x - x.mean(0)
    labels = np.stack([values - values.mean() for values in y.values()])
    slope = -2 * (w @ centred.T - labels) @ centred / len(x)
    assert np.linalg.norm(slope, 2) == pytest.approx(0.6, abs=1e-3)
    assert np.sum(slope * w) == pytest.approx(0.6 * np.linalg.norm(w, "nuc"), rel=1e-3)


def test_the_subgradient_comes_near_the_same_weights() -> None:
    x, y, _ = low_rank()
    proximal = train(x, y, NuclearNorm(strength=1.5), epochs=300, optimizer=FAST)
    slow = SGD(lr=0.005, momentum=0.8)
    other = train(x, y, NuclearNorm(strength=1.5, method="subgradient"), epochs=500, optimizer=slow)
    assert np.abs(proximal.stacked() - other.stacked()).max() < 0.05
    values = np.linalg.svd(other.stacked(), compute_uv=False)
    assert 0 < values[2:].max() < 0.01 * values[1]  # near 0, and not at it


def test_group_lasso_kills_unused_inputs_and_keeps_the_others() -> None:
    random = np.random.default_rng(2)
    x = inputs(150, 12)
    w = np.zeros((4, 12))
    w[:, [1, 4, 7]] = random.normal(size=(4, 3)) + 1
    y = {f"t{i}": x @ row + 0.5 * random.normal(size=150) for i, row in enumerate(w)}
    found = train(x, y, GroupLasso(strength=0.5), epochs=300).stacked()
    assert set(np.flatnonzero(found.any(0))) == {1, 4, 7}
    assert not found[:, [0, 2, 3]].any()  # exactly 0
    assert train(x, y, epochs=300).stacked().all()


def test_group_lasso_reaches_the_optimum() -> None:
    """Without correlation between inputs, each column of least squares is shrunk by λ/2 in length."""
    random = np.random.default_rng(2)
    x = random.normal(size=(100, 5))
    x = 10 * np.linalg.qr(x - x.mean(0))[0]  # xᵀx / n = I, and every mean is 0
    w = random.normal(size=(3, 5)) * [3, 0.1, 1, 0.05, 1]
    y = {f"t{i}": x @ row for i, row in enumerate(w)}
    found = train(x, y, GroupLasso(strength=0.8), epochs=400).stacked()
    norms = np.linalg.norm(w, axis=0)
    assert found == pytest.approx(w * np.maximum(1 - 0.4 / norms, 0), abs=2e-3)


def test_the_graph_pulls_linked_tasks_together_and_not_the_others() -> None:
    x = inputs()
    random = np.random.default_rng(3)
    y = {task: x @ random.normal(size=6) for task in "abcd"}
    free = train(x, y)
    found = train(x, y, Graph(edges=[("a", "b", 1.0), ("c", "d", 0.0)], strength=5.0), optimizer=SGD(lr=0.02))

    def distance(run: object, one: str, other: str) -> float:
        return float(np.linalg.norm(run.weight(one) - run.weight(other)))  # type: ignore[attr-defined]

    assert distance(found, "a", "b") < 0.15 * distance(free, "a", "b")
    assert distance(found, "c", "d") == pytest.approx(distance(free, "c", "d"), rel=1e-3)
    assert found.weight("c") == pytest.approx(free.weight("c"), abs=1e-3)
    assert found.weight("a") + found.weight("b") == pytest.approx(free.weight("a") + free.weight("b"), abs=0.3)


def test_the_graph_reaches_the_optimum() -> None:
    """X̃ᵀX̃/n (w_i − ŵ_i) + λ Σ_j γ_ij (w_i − w_j) = 0."""
    x = inputs()
    random = np.random.default_rng(3)
    y = {task: x @ random.normal(size=6) for task in "abc"}
    found = train(x, y, Graph(edges=[("a", "b", 2.0), ("b", "c", 0.5)], strength=0.3), epochs=250)
    free = train(x, y, epochs=150)
    covariance = np.cov(x.T, bias=True)
    edges = {("a", "b"): 2.0, ("b", "c"): 0.5}
    for task in "abc":
        pull = sum(g * (found.weight(task) - found.weight(({*pair} - {task}).pop())) for pair, g in edges.items()
                   if task in pair)  # fmt: skip
        assert covariance @ (found.weight(task) - free.weight(task)) + 0.3 * pull == pytest.approx(0, abs=2e-3)


def test_edges_from_the_labels() -> None:
    x = inputs(400)
    y = {"a": x[:, 0], "b": x[:, 0] + x[:, 1], "c": -x[:, 0], "d": x[:, 3] * 1.0}
    y["b"][::3] = np.nan
    notices: list[str] = []
    run = train(x, y, epochs=1)
    training = type(run.training)(run.network, run.training.tasks, run.training.batches, notices.append)
    graph = Graph()
    found = graph._edges(training, {name: head.weight for name, head in run.network.heads.items()})
    both = ~np.isnan(y["b"])
    assert found["a", "b"] == pytest.approx(np.corrcoef(y["a"][both], y["b"][both])[0, 1], abs=1e-6)
    assert ("a", "c") not in found and ("b", "c") not in found  # opposite, and so not linked
    assert notices[0].startswith("regularizer: tasks linked by the correlation of their labels: a–b 0.7")


def test_every_pair() -> None:
    x = inputs()
    random = np.random.default_rng(3)
    y = {task: x @ random.normal(size=6) for task in "abc"}
    found = train(x, y, Graph(edges="all", strength=50.0), optimizer=SGD(lr=0.002), epochs=400)
    mean = np.mean([train(x, y).weight(task) for task in "abc"], axis=0)
    for task in "abc":
        assert found.weight(task) == pytest.approx(mean, abs=0.05)


# What does not fit


def classes(x: np.ndarray) -> dict[str, object]:
    return {"a": x[:, 0], "b": x[:, 1], "k": np.select([x[:, 2] < -0.5, x[:, 2] < 0.5], ["x", "y"], "z")}


def test_a_graph_over_other_shapes_names_the_pair() -> None:
    x = inputs()
    with pytest.raises(UserError, match="a and k cannot be compared: the last layer of a's head has 1 × 6 weights, "
                       "that of k 3 × 6"):  # fmt: skip
        train(x, classes(x), Graph(edges=[("a", "b", 1.0), ("a", "k", 1.0)]), kinds={"k": Multiclass()}, epochs=1)


def test_classes_may_be_stacked_and_are_left_out_of_edges_from_labels() -> None:
    x = inputs()
    kinds = {"k": Multiclass()}
    found = train(x, classes(x), NuclearNorm(strength=0.5), kinds=kinds, epochs=50)
    assert found.stacked().shape == (5, 6)
    assert rank(found.stacked()) < rank(train(x, classes(x), kinds=kinds, epochs=50).stacked())
    assert train(x, classes(x), Graph(), kinds=kinds, epochs=2).regularizer is not None


def test_heads_of_other_widths_are_named() -> None:
    from mtl_cli.config.schema import Head, Model
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.network import Shape, build_network
    from mtl_cli.models.regularizer import Training
    from mtl_cli.models.trunks.mlp import MLP

    model = Model(trunk=MLP(hidden=[8]), heads={"b": Head(hidden=[5])})
    network = build_network(model, InputSpec("features", (4,)), {"a": Shape(1), "b": Shape(1)})
    training = Training(network, {}, None, print)  # type: ignore[arg-type]
    for config in (NuclearNorm(), GroupLasso()):
        with pytest.raises(UserError, match=r"model.heads.b: .* a reads 8 units, b 5; give all heads the same"):
            config.build(training)
    with pytest.raises(UserError, match="a and b cannot be compared: .* 1 × 8 weights, that of b 1 × 5"):
        Graph(edges="all").build(training)


def test_one_task_is_fine_for_the_nuclear_norm() -> None:
    x = inputs()
    found = train(x, {"a": x[:, 0]}, NuclearNorm(strength=0.5))
    assert np.linalg.norm(found.stacked()) == pytest.approx(1 - 0.25, abs=0.05)  # of one row it is the length
