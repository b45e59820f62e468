"""Batches cut from tensors: every row once, in an order that the seed fixes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from mtl_cli.data.base import Part
from mtl_cli.data.batches import Batches
from mtl_cli.data.inputs import CodedRows, DenseRows
from mtl_cli.tasks.task import Target

CPU = torch.device("cpu")


def part(rows: int, missing: bool = False) -> Part:
    inputs = np.arange(rows, dtype="float32")[:, None]
    mask = np.arange(rows) % 3 > 0 if missing else np.ones(rows, bool)
    return Part(
        DenseRows(inputs),
        {"t": Target(inputs[:, 0], mask)},
        pd.Series(range(rows)),
        pd.DataFrame(),
        np.zeros(rows, bool),
    )


@pytest.mark.parametrize(
    ("rows", "size", "smallest", "count"), [(10, 3, 1, 4), (10, 3, 2, 3), (9, 3, 1, 3), (5, 64, 1, 1)]
)
def test_every_row_once(rows: int, size: int, smallest: int, count: int) -> None:
    batches = Batches(part(rows, missing=True), CPU, size, smallest=smallest)
    found = list(batches)
    assert len(found) == len(batches) == count
    seen = torch.cat([batch.inputs[:, 0] for batch in found])
    assert len(seen) == len(seen.unique()) == min(rows, count * size)
    for batch in found:
        assert torch.equal(batch.inputs[:, 0], batch.targets["t"])
        assert torch.equal(batch.masks["t"], (batch.inputs[:, 0] % 3 > 0).float())


def test_the_seed_fixes_the_order_and_epochs_differ() -> None:
    first, again, other = (Batches(part(50), CPU, 50, seed) for seed in (1, 1, 2))
    orders = [next(iter(batches)).inputs[:, 0].tolist() for batches in (first, again, other, first)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[3] != orders[0]


def test_a_full_batch_is_the_tensors_themselves() -> None:
    batches = Batches(part(10), CPU)
    (batch,) = batches
    assert batch.inputs.data_ptr() == batches.inputs.values.data_ptr()
    assert batch.targets is batches.targets
    assert batch.masks == {"t": None}


def test_batches_of_levels_share_one_place_and_are_what_their_rows_are() -> None:
    random = np.random.default_rng(0)
    codes = np.stack([random.integers(-1, 2, 10), random.integers(3, 6, 10)], 1).astype("int32")
    none = torch.tensor([-0.25, -0.5, 9, 0, -0.125, -0.75])
    rows = CodedRows(torch.arange(10.0)[:, None], torch.tensor([2]), torch.from_numpy(codes), none)
    targets = {"t": Target(np.arange(10, dtype="float32"), np.ones(10, bool))}
    batches = Batches(Part(rows, targets, pd.Series(range(10)), pd.DataFrame(), np.zeros(10, bool)), CPU, 4)
    places = []
    for _ in range(2):
        for taken in batches:
            expected = none.repeat(len(taken), 1)
            for row, number in enumerate(taken.targets["t"].int().tolist()):
                expected[row, 2] = number
                expected[row, codes[number][codes[number] >= 0]] += 1
            assert torch.equal(taken.inputs, expected)
            places.append(taken.inputs.data_ptr())
    assert len(places) == 6 and len(set(places)) == 1
