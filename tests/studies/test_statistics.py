"""Intervals and tests, against scipy, statsmodels, published tables, and draws without any difference."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mtl_cli.studies import statistics
from mtl_cli.studies.statistics import compare_apart, compare_blocks

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.normal(size=(6, 4)) + RANDOM.normal(size=(6, 1)) + np.array([0.0, 0.3, 0.5, 3.0])


def test_the_interval_of_a_mean_is_students() -> None:
    found = statistics.interval([float(value) for value in VALUES[:, 0]] + [math.nan])
    expected = stats.ttest_1samp(VALUES[:, 0], 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.n == 6
    one = statistics.interval([2.0])
    assert one.mean == 2 and math.isnan(one.half)


def test_the_interval_over_folds_is_nadeaus_and_bengios() -> None:
    values = [0.1, 0.4, 0.2, 0.25, 0.3]
    expected = stats.t.ppf(0.975, 4) * math.sqrt(np.var(values, ddof=1) * (1 / 5 + 1 / 4))
    assert statistics.interval(values, share=1 / 4).half == pytest.approx(expected)


def test_two_groups_with_blocks() -> None:
    found, expected = compare_blocks(VALUES[:, :2]), stats.ttest_rel(VALUES[:, 0], VALUES[:, 1])
    low, high = expected.confidence_interval(0.95)
    assert (found.differences[0, 1].low, found.differences[0, 1].high) == pytest.approx((low, high))
    assert found.p == pytest.approx(expected.pvalue)


def test_two_groups_without() -> None:
    first, second = VALUES[:, 0], VALUES[:5, 3]
    found, expected = compare_apart([first, second]), stats.ttest_ind(first, second, equal_var=False)
    low, high = expected.confidence_interval(0.95)
    assert (found.differences[0, 1].low, found.differences[0, 1].high) == pytest.approx((low, high))
    assert found.p == pytest.approx(expected.pvalue)
    assert found.told == {(0, 1)}


def test_the_anova_of_blocks_is_statsmodels() -> None:
    anova = pytest.importorskip("statsmodels.stats.anova")
    rows = [(block, group, VALUES[block, group]) for block in range(6) for group in range(4)]
    table = (
        anova.AnovaRM(pd.DataFrame(rows, columns=["block", "group", "y"]), "y", "block", ["group"]).fit().anova_table
    )
    statistic, p, epsilon = statistics.repeated_anova(VALUES)
    assert statistic == pytest.approx(float(table["F Value"].iloc[0]))
    assert stats.f.sf(statistic, 3, 15) == pytest.approx(float(table["Pr > F"].iloc[0]))
    assert 1 / 3 <= epsilon <= 1
    assert p == pytest.approx(stats.f.sf(statistic, 3 * epsilon, 15 * epsilon))


def test_greenhouse_and_geissers_epsilon_is_1_where_all_differences_vary_alike() -> None:
    """And 1 / (k − 1) where one direction holds all of the variance."""
    blocks = np.vstack([np.eye(3), -np.eye(3)])
    assert statistics.repeated_anova(blocks)[2] == pytest.approx(1)
    one = np.array([[1.0, -1.0, 0.0]]) * np.array([[-2.0], [1.0], [3.0], [4.0]])
    assert statistics.repeated_anova(one)[2] == pytest.approx(1 / 2)


def test_tukeys_interval_of_blocks() -> None:
    """q · √(MS_error / n), the error without the means of blocks and groups, its degrees of freedom times epsilon."""
    found = compare_blocks(VALUES, "anova")
    freedom = math.floor(2 * 15 * statistics.repeated_anova(VALUES)[2]) / 2
    left = VALUES - VALUES.mean(0) - VALUES.mean(1, keepdims=True) + VALUES.mean()
    half = stats.studentized_range.ppf(0.95, 4, freedom) * math.sqrt((left**2).sum() / 15 / 6)
    assert [one.half for one in found.differences.values()] == pytest.approx([half] * 6)
    assert found.differences[0, 3].mean == pytest.approx(VALUES[:, 0].mean() - VALUES[:, 3].mean())
    assert (0, 3) in found.told and (0, 1) not in found.told


def test_without_blocks_games_and_howells_are_scipys() -> None:
    groups = [VALUES[:, 0], VALUES[:4, 1], VALUES[:5, 3]]
    found = compare_apart(groups)
    expected = stats.tukey_hsd(*groups, equal_var=False).confidence_interval(0.95)
    for (i, j), one in found.differences.items():
        assert (one.low, one.high) == pytest.approx((expected.low[i, j], expected.high[i, j]), rel=1e-3)
    assert found.p == pytest.approx(stats.f_oneway(*groups, equal_var=False).pvalue)


def test_friedmans_test_and_nemenyis_difference() -> None:
    found = compare_blocks(VALUES, "friedman")
    assert found.p == pytest.approx(stats.friedmanchisquare(*VALUES.T).pvalue)
    expected = stats.rankdata(-VALUES, axis=1).mean(axis=0)
    assert found.ranks == pytest.approx(list(expected))
    assert 1 <= min(expected) <= max(expected) <= 4


@pytest.mark.parametrize(("groups", "q"), [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (8, 3.031), (10, 3.164)])
def test_the_quantiles_are_those_of_demsars_table_5(groups: int, q: float) -> None:
    assert statistics.critical_difference(14, groups) == pytest.approx(
        q * math.sqrt(groups * (groups + 1) / (6 * 14)), rel=5e-4
    )


def test_residuals_that_are_far_from_normal_are_ranked() -> None:
    random = np.random.default_rng(3)
    heavy = random.standard_cauchy((20, 4))
    assert compare_blocks(heavy).ranks is not None
    assert compare_blocks(random.normal(size=(20, 4))).ranks is None


def test_groups_that_are_the_same_are_told_to_be_so() -> None:
    same = np.tile(RANDOM.normal(size=(5, 1)), (1, 3))
    assert compare_blocks(same).told == frozenset()
    assert compare_blocks(same, "friedman").told == frozenset()
    assert compare_blocks(same[:, :2]).told == frozenset()
    shifted = same + np.array([0.0, 0.0, 1.0])
    assert compare_blocks(shifted).told == {(0, 2), (1, 2)}


@pytest.mark.parametrize("spread", [np.ones(5), np.array([4.0, 1, 1, 1, 1])], ids=["alike", "one varies more"])
@pytest.mark.parametrize("test", ["auto", "friedman"])
def test_where_there_is_no_difference_one_is_told_in_at_most_6_percent(
    spread: np.ndarray, test: statistics.Test
) -> None:
    random = np.random.default_rng(1)
    draws = random.normal(size=(1000, 5, 5)) * spread + random.normal(size=(1000, 5, 1))
    assert np.mean([bool(compare_blocks(draw, test).told) for draw in draws]) <= 0.06


def test_of_two_groups_too_and_of_groups_without_blocks() -> None:
    random = np.random.default_rng(2)
    assert np.mean([bool(compare_blocks(draw).told) for draw in random.normal(size=(4000, 5, 2))]) <= 0.06
    assert np.mean([bool(compare_apart(list(draw)).told) for draw in random.normal(size=(4000, 2, 6))]) <= 0.06


def test_a_difference_of_three_deviations_is_told() -> None:
    random = np.random.default_rng(4)
    draws = random.normal(size=(200, 5, 5)) + np.array([3.0, 0, 0, 0, 0])
    found = [compare_blocks(draw) for draw in draws]
    assert np.mean([bool(one.told) for one in found]) > 0.9
    assert np.mean([one.differences[0, 1].low <= 3 <= one.differences[0, 1].high for one in found]) > 0.93
