"""Folds: each row once, balanced over tasks of any kind, groups and instants whole, ids the same everywhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mtl_cli.config.errors import UserError
from mtl_cli.data.folds import folds, nearest_ends

RANDOM = np.random.default_rng(0)
ROWS = 1000
LABELS = {
    "kind": pd.Series(RANDOM.choice(["common", "rare", "rarest"], ROWS, p=[0.93, 0.06, 0.01])),
    "sold": pd.Series(RANDOM.random(ROWS) < 0.1).astype(object).where(RANDOM.random(ROWS) < 0.5, None),
    "price": pd.Series(RANDOM.lognormal(size=ROWS)).where(RANDOM.random(ROWS) < 0.7),
    "tags": pd.Series(
        [frozenset(t for t in "abcdef" if RANDOM.random() < 0.08 * (1 + ord(t) % 3)) for _ in range(ROWS)]
    ),
}


def shares(found: np.ndarray, carried: pd.Series) -> np.ndarray:
    """Return the share of rows in each fold that carry a label."""
    return carried.astype(float).groupby(found).mean().to_numpy()


@pytest.mark.parametrize("k", [2, 5, 7])
def test_several_tasks_of_every_kind_are_balanced(k: int) -> None:
    found = folds(ROWS, k, 0, LABELS)
    assert np.ptp(np.bincount(found, minlength=k)) <= 1
    fifths = pd.qcut(LABELS["price"], 5, labels=False)
    carried = [LABELS["kind"] == kind for kind in LABELS["kind"].unique()]
    carried += [LABELS["sold"] == True, LABELS["sold"].isna(), LABELS["price"].isna()]  # noqa: E712
    carried += [fifths == fifth for fifth in range(5)]
    carried += [LABELS["tags"].map(lambda tags, tag=tag: tag in tags) for tag in "abcdef"]
    for one in carried:
        assert np.ptp(shares(found, one)) * ROWS / k < 10, "rows more in one fold than in another"
    by_chance = np.random.default_rng(0).permutation(np.arange(ROWS) % k)
    worst = max(np.ptp(shares(found, one)) for one in carried)
    assert worst < 0.5 * max(np.ptp(shares(by_chance, one)) for one in carried)


def test_groups_are_whole_and_their_labels_balanced() -> None:
    group = RANDOM.integers(0, 120, ROWS)
    found = folds(ROWS, 4, 0, LABELS, unit=group)
    assert (pd.Series(found).groupby(group).nunique() == 1).all()
    assert np.ptp(np.bincount(found)) <= 40
    assert np.ptp(shares(found, LABELS["kind"] == "rare")) < 0.02


def test_blocks_of_time_are_in_order_and_cut_no_instant() -> None:
    times = RANDOM.integers(0, 30, ROWS)
    found = folds(ROWS, 4, 0, times=times)
    for early, late in zip(range(3), range(1, 4), strict=True):
        assert times[found == early].max() < times[found == late].min()
    assert (np.bincount(found) > 150).all()
    with pytest.raises(UserError, match="4 blocks of time cannot be made of 3 different times"):
        folds(9, 4, 0, times=np.repeat([1, 2, 3], 3))


def test_a_fold_by_id_depends_on_nothing_else() -> None:
    ids = pd.Series([f"p{i}" for i in range(ROWS)])
    found, order = folds(ROWS, 5, 0, ids=ids), RANDOM.permutation(ROWS)[:300]
    assert folds(300, 5, 0, ids=ids[order]).tolist() == found[order].tolist()
    assert (np.bincount(found) > 150).all()
    assert (folds(ROWS, 5, 1, ids=ids) != found).any()
    with pytest.raises(UserError, match="row 3 has no id"):
        folds(4, 2, 0, ids=pd.Series(["a", "b", None, "c"], name="id"))


def test_without_labels_they_are_drawn_at_random() -> None:
    found = folds(10, 3, 0)
    assert sorted(np.bincount(found)) == [3, 3, 4]
    assert (folds(100, 3, 1) != folds(100, 3, 0)).any()
    with pytest.raises(UserError, match="3 folds cannot be made of 2 groups of rows"):
        folds(10, 3, 0, unit=np.arange(10) % 2)


def test_no_block_is_empty() -> None:
    assert nearest_ends(np.array([50, 1, 1]), [20.0, 40.0]).tolist() == [1, 2]
