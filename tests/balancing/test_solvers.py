"""The solvers meet the conditions that define their solution, also for Gramians that are hard to solve for."""

import numpy as np
import pytest

from mtl_cli.balancing.methods.fairgrad import FairGrad
from mtl_cli.balancing.solvers.cagrad import cagrad_weights
from mtl_cli.balancing.solvers.dual_cone import _least_squares, nonnegative_qp, onto_dual_cone
from mtl_cli.balancing.solvers.fairness import Unsolved, fair_weights
from mtl_cli.balancing.solvers.linalg import clean, cosines, pseudo_inverse_times
from mtl_cli.balancing.solvers.min_norm import least_norm
from mtl_cli.config.errors import UserError
from tests.balancing.gramians import hard

HARD = [pytest.param(jacobian @ jacobian.T, id=name) for name, jacobian in hard()]


def assert_fair(gramian: np.ndarray, alpha: float) -> None:
    weights = fair_weights(gramian, alpha)
    assert np.isfinite(weights).all()
    assert (weights > 0).all()
    matrix, norms = cosines(gramian)
    size = (weights * norms)[norms > 0]
    matrix = matrix[norms > 0][:, norms > 0]
    if len(size) == 0:
        return
    shares = least_norm(matrix)
    shortest = np.sqrt(max(shares @ matrix @ shares, 0.0))  # of the convex combinations of the unit gradients
    length = np.sqrt(max(size @ matrix @ size, 0.0)) / size.sum()
    if shortest < 1e-6:  # one vanishes: no solution exists, or none that float64 can hold
        assert length < 1e-4
        if shortest < 1e-8:
            assert np.isclose(size.sum(), len(size))
            return
        if np.isclose(size.sum(), len(size)):
            return
    product = (gramian @ weights)[norms > 0]
    residual = np.abs(product * weights[norms > 0] ** (1 / alpha) - 1)
    rounding = 4e-15 * (np.abs(gramian) @ weights)[norms > 0] / product
    assert (residual <= 1e-6 + rounding).all()


@pytest.mark.parametrize("gramian", HARD)
@pytest.mark.parametrize("alpha", [1.0, 2.0])
def test_fair_weights_meet_their_equations_or_the_gradients_vanish(gramian: np.ndarray, alpha: float) -> None:
    assert_fair(gramian, alpha)


@pytest.mark.parametrize("alpha", [0.5, 3.0, 5.0, 10.0])
def test_fair_weights_with_other_exponents(alpha: float) -> None:
    generator = np.random.default_rng(0)
    for tasks, width in [(2, 2), (4, 3), (8, 24), (16, 100)] * 5:
        jacobian = generator.normal(size=(tasks, width)) * 10.0 ** generator.uniform(-3, 3, size=(tasks, 1))
        assert_fair(jacobian @ jacobian.T, alpha)


@pytest.mark.parametrize("alpha", [10.0, 20.0])
def test_fair_weights_nearly_max_min_of_gradients_far_apart(alpha: float) -> None:
    generator = np.random.default_rng(0)
    for tasks, width in [(2, 3), (4, 8), (8, 24), (16, 100)] * 5:
        jacobian = generator.normal(size=(tasks, width)) * 10.0 ** generator.uniform(-4, 4, size=(tasks, 1))
        assert_fair(jacobian @ jacobian.T, alpha)


def test_fair_weights_that_float64_cannot_hold_are_no_silent_guess() -> None:
    generator, unsolved = np.random.default_rng(0), []
    for tasks, width in [(2, 3), (4, 8), (8, 24), (16, 100)] * 10:
        jacobian = generator.normal(size=(tasks, width)) * 10.0 ** generator.uniform(-7, 7, size=(tasks, 1))
        gramian = jacobian @ jacobian.T
        try:
            weights = fair_weights(gramian, 50.0)
        except Unsolved:
            unsolved.append(gramian)
            continue
        matrix, norms = cosines(gramian)
        size = weights * norms
        residual = np.abs((gramian @ weights) * weights**0.02 - 1).max()
        assert residual <= 1e-3 or size @ matrix @ size < (1e-4 * size.sum()) ** 2
    assert 0 < len(unsolved) < 40
    with pytest.raises(UserError, match=r"balancer\.alpha"):
        FairGrad(alpha=50.0).solve(unsolved[0])


def test_two_nearly_opposite_gradients_have_a_solution() -> None:
    for apart in (1e-3, 1e-5, 1e-7, 1e-9):
        gramian = np.array([[1.0, apart - 1], [apart - 1, 1.0]])
        np.testing.assert_allclose(fair_weights(gramian, 1.0), 1 / np.sqrt(1 + gramian[0, 1]), rtol=1e-6)


def test_two_tasks_have_a_closed_form() -> None:
    gramian = np.array([[18.0, -22], [-22, 38]])
    norms = np.sqrt(gramian.diagonal())
    expected = 1 / (norms * np.sqrt(1 + gramian[0, 1] / norms.prod()))
    np.testing.assert_allclose(fair_weights(gramian, 1.0), expected, rtol=1e-9)


@pytest.mark.parametrize("gramian", HARD)
@pytest.mark.parametrize("c", [0.1, 0.5, 1.0, 2.0])
def test_conflict_averse_weights_are_feasible_and_as_good_as_their_dual_bound(gramian: np.ndarray, c: float) -> None:
    weights = cagrad_weights(gramian, c)
    size = len(gramian)
    mean = np.full(size, 1 / size)
    radius = c * np.sqrt(max(mean @ gramian @ mean, 0.0))
    scale = radius * np.sqrt(gramian.diagonal().max())
    added = weights - mean
    assert added.min() >= -1e-12 * np.abs(weights).max()
    assert np.sqrt(max(added @ gramian @ added, 0.0)) <= radius * (1 + 1e-6)

    matrix, norms = cosines(gramian)
    shortest = least_norm(matrix) / np.where(norms > 0, norms, 1.0)
    candidates = [least_norm(gramian), shortest / shortest.sum(), np.eye(size)[norms.argmin()]]
    candidates += [added / added.sum()] if added.sum() > 0 else []

    def bound(v: np.ndarray) -> float:
        """The dual objective: for any v on the simplex, no d in the ball does more for every task."""
        return float(v @ gramian @ mean + radius * np.sqrt(max(v @ gramian @ v, 0.0)))

    assert min(map(bound, candidates)) - (gramian @ weights).min() <= 1e-6 * scale


def test_conflict_averse_weights_agree_with_a_grid_over_the_simplex() -> None:
    gramian = np.array([[18.0, -22], [-22, 38]])
    for c in (0.1, 0.4, 0.5, 0.9):
        mean_norm = np.sqrt(gramian.mean())
        share = np.linspace(0, 1, 200_001)
        grid = np.stack([share, 1 - share])
        lengths = np.sqrt(np.einsum("it,ij,jt->t", grid, gramian, grid))
        best = grid[:, (grid.T @ gramian.mean(1) + c * mean_norm * lengths).argmin()]
        expected = 0.5 + c * mean_norm / np.sqrt(best @ gramian @ best) * best
        np.testing.assert_allclose(cagrad_weights(gramian, c), expected, atol=1e-4)


@pytest.mark.parametrize("gramian", HARD)
def test_the_least_norm_meets_its_conditions(gramian: np.ndarray) -> None:
    weights = least_norm(gramian)
    assert weights.min() >= 0
    assert np.isclose(weights.sum(), 1)
    product = gramian @ weights
    assert weights @ product - product.min() <= 1e-9 * max(gramian.max(), 1e-300)


@pytest.mark.parametrize("gramian", HARD)
def test_the_dual_cone_meets_its_conditions(gramian: np.ndarray) -> None:
    size = len(gramian)
    chosen = np.eye(size) / size
    found = onto_dual_cone(gramian, chosen)
    assert (found >= chosen).all()
    norms = np.sqrt(gramian.diagonal())
    products = found @ gramian
    magnitude = (np.abs(found) @ norms)[:, None] * norms
    assert (products >= -1e-9 * magnitude).all()
    slackness = np.abs((found - chosen) * products)
    assert (slackness <= 1e-6 * np.maximum((np.abs(found) @ norms)[:, None] ** 2, 1e-300)).all()


def test_both_ways_to_a_nonnegative_minimum_agree() -> None:
    generator = np.random.default_rng(0)
    for size in (1, 2, 7, 20):
        factor = generator.normal(size=(size + 2, size))
        targets = generator.normal(size=(5, size + 2))
        by_pivots = nonnegative_qp(factor.T @ factor, -targets @ factor)
        by_least_squares = np.stack([_least_squares(factor, target) for target in targets])
        np.testing.assert_allclose(by_pivots, by_least_squares, atol=1e-9)


def test_cleaning_removes_rounding_and_nothing_else() -> None:
    generator = np.random.default_rng(0)
    sound = generator.normal(size=(4, 9))
    gramian = sound @ sound.T
    assert clean(gramian, 1e-7) is gramian
    dependent = np.vstack([sound, sound[:1] - sound[1:2]])
    exact = dependent @ dependent.T
    noisy = exact * (1 + 1e-8 * generator.uniform(-1, 1, exact.shape))
    noisy = (noisy + noisy.T) / 2
    cleaned = clean(noisy, 1.2e-7)
    assert abs(np.linalg.eigvalsh(cleaned)[0]) < 1e-13
    np.testing.assert_allclose(cleaned, exact, rtol=1e-6, atol=1e-6)


def test_the_pseudo_inverse_gives_the_least_norm_solution() -> None:
    generator = np.random.default_rng(0)
    factor = generator.normal(size=(6, 3))
    matrix, right = factor @ factor.T, generator.normal(size=6)
    np.testing.assert_allclose(
        pseudo_inverse_times(matrix, right), np.linalg.pinv(matrix, rcond=1e-10) @ right, atol=1e-9
    )
