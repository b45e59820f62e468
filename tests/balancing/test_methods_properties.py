"""The properties that papers prove of their methods, where they prove them and only there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given

from tests.balancing.gramians import SETTINGS, gramian, independent_gradients
from tests.balancing.weightings import METHODS, gradvac_weights, in_order, pcd_weights, pcgrad_weights


@pytest.mark.parametrize("method", METHODS)
@SETTINGS
@given(independent_gradients())
def test_the_order_of_the_tasks_does_not_matter(method: str, jacobian: torch.Tensor) -> None:
    order = torch.randperm(len(jacobian), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        METHODS[method](gramian(jacobian[order])), METHODS[method](gramian(jacobian))[order], rtol=1e-5, atol=1e-9
    )


@SETTINGS
@given(independent_gradients())
def test_pcgrad_and_gradvac_depend_on_their_order_alone(jacobian: torch.Tensor) -> None:
    size = len(jacobian)
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(size, size, generator=generator).argsort(1)
    moved = torch.randperm(size, generator=generator)
    place = moved.argsort()
    similarity = torch.rand(size, size, generator=generator, dtype=torch.float64) - 0.5
    torch.testing.assert_close(
        pcgrad_weights(gramian(jacobian[moved]), place[order[moved]]), pcgrad_weights(gramian(jacobian), order)[moved]
    )
    weights, after = gradvac_weights(gramian(jacobian), order, similarity, 0.3)
    moved_similarity = similarity[moved][:, moved]
    moved_weights, moved_after = gradvac_weights(gramian(jacobian[moved]), place[order[moved]], moved_similarity, 0.3)
    torch.testing.assert_close(moved_weights, weights[moved])
    torch.testing.assert_close(moved_after, after[moved][:, moved])


@pytest.mark.parametrize("method", ["upgrad", "conflict_free"])
@SETTINGS
@given(independent_gradients())
def test_linear_under_scaling_of_the_gradients(method: str, jacobian: torch.Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.rand(len(jacobian), 1, generator=generator, dtype=torch.float64) + 0.1 for _ in range(2))

    def direction(scale: torch.Tensor) -> torch.Tensor:
        return METHODS[method](gramian(scale * jacobian)) @ (scale * jacobian)

    torch.testing.assert_close(direction(a + b), direction(a) + direction(b), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("method", ["nash_mtl", "fairgrad 1"])
@SETTINGS
@given(independent_gradients())
def test_a_factor_on_a_gradient_leaves_its_share(method: str, jacobian: torch.Tensor) -> None:
    scale = torch.logspace(-3, 3, len(jacobian), dtype=torch.float64)
    plain, scaled = METHODS[method](gramian(jacobian)), METHODS[method](gramian(scale[:, None] * jacobian)) * scale
    torch.testing.assert_close(scaled / scaled.abs().sum(), plain / plain.abs().sum(), rtol=1e-5, atol=1e-8)


NEVER_CONFLICTING = ["cagrad 1", "conflict_free", "dualproj", "fairgrad 1", "fairgrad 2", "mgda", "nash_mtl", "upgrad"]


@pytest.mark.parametrize("method", NEVER_CONFLICTING)
@SETTINGS
@given(independent_gradients())
def test_no_task_gets_worse(method: str, jacobian: torch.Tensor) -> None:
    direction = METHODS[method](gramian(jacobian)) @ jacobian
    assert (jacobian @ direction >= -1e-9 * jacobian.norm(dim=1) * direction.norm()).all()


@SETTINGS
@given(independent_gradients())
def test_pcd_grants_every_secondary_task_its_progress(jacobian: torch.Tensor) -> None:
    factors = jacobian.norm(dim=1).reciprocal()
    primary = len(jacobian) - 1
    weights = pcd_weights(gramian(jacobian), factors, primary, 0.1)
    direction = weights @ jacobian
    torch.testing.assert_close(direction.norm(), jacobian[primary].norm())
    before_scaling = direction * (weights[primary] / factors[primary]).reciprocal()
    progress = (factors[:, None] * jacobian) @ before_scaling
    assert (progress[:primary] >= 0.1 - 1e-9).all()
    slack = progress[:primary] - 0.1
    assert (weights[:primary] >= 0).all()
    assert ((weights[:primary] > 1e-9) <= (slack < 1e-6)).all()


@SETTINGS
@given(independent_gradients())
def test_gradvac_reaches_the_usual_similarity(jacobian: torch.Tensor) -> None:
    jacobian = jacobian[:2]
    similarity = torch.full((2, 2), 0.7, dtype=torch.float64)
    weights, after = gradvac_weights(gramian(jacobian), in_order(2), similarity, 0.5)
    unit = jacobian / jacobian.norm(dim=1, keepdim=True)
    cosine = unit[0] @ unit[1]
    torch.testing.assert_close(after[0, 1], 0.35 + 0.5 * cosine)
    if cosine < 0.7:
        # both gradients were turned: each is its own and a positive part of the other's
        assert (weights > 1).all()
        part = (weights - 1)[[1, 0]]
        for own, other, by in ((0, 1, part[0]), (1, 0, part[1])):
            turned = jacobian[own] + by * jacobian[other]
            torch.testing.assert_close(turned @ unit[other] / turned.norm(), torch.tensor(0.7, dtype=torch.float64))
