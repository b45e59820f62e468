"""The front of static weights: which points are on it, how far others lie from it, and what volume it dominates."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from mtl_cli.studies.front import distance, front, hypervolume


def test_points_that_another_beats_are_not_on_the_front() -> None:
    points = np.array([[0.9, 0.1], [0.5, 0.5], [0.4, 0.5], [0.1, 0.9], [0.5, 0.5], [0.4, 0.4]])
    assert front(points).tolist() == [[0.1, 0.9], [0.5, 0.5], [0.9, 0.1]]


def test_distance_is_how_far_a_point_moves_along_the_diagonal_until_the_front_dominates_it() -> None:
    points = np.array([[0.8, 0.2], [0.2, 0.8]])
    assert distance(np.array([0.7, 0.15]), points) == pytest.approx(0.05), "behind"
    assert distance(np.array([0.8, 0.1]), points) == pytest.approx(0), "on it: as good in one task"
    assert distance(np.array([0.5, 0.5]), points) == pytest.approx(-0.3), "in the gap of a front that is not convex"
    random = np.random.default_rng(0)
    for tasks in (2, 3, 4):
        points, point = random.random((20, tasks)), random.random(tasks)
        steps = np.linspace(-1, 1, 20_001)
        dominated = [(points >= point + step).all(axis=1).any() for step in steps]
        assert distance(point, points) == pytest.approx(steps[dominated].max(), abs=1e-3)


@pytest.mark.parametrize("tasks", [1, 2, 3, 4])
def test_hypervolume_against_inclusion_and_exclusion(tasks: int) -> None:
    random = np.random.default_rng(tasks)
    points = random.random((6, tasks))
    expected = sum(
        -((-1) ** size) * np.prod(np.min(chosen, axis=0))
        for size in range(1, 7)
        for chosen in itertools.combinations(points, size)
    )
    assert hypervolume(points) == pytest.approx(expected)
    assert hypervolume(np.vstack([points, -np.ones(tasks)])) == pytest.approx(expected), "worse than the constant"


def test_without_a_point_above_the_constant_there_is_no_volume() -> None:
    assert hypervolume(np.array([[0.5, -0.1]])) == 0
