"""Orders of batches go on from where they were."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mtl_cli.data.inputs import DenseRows, Order, ShuffledOrder
from mtl_cli.data.joint.rows import JointOrder, Sampling
from mtl_cli.data.sequences.rows import LengthOrder, TokenRows

CPU = torch.device("cpu")
LENGTHS = np.random.default_rng(0).integers(3, 30, 50)
TOKENS = TokenRows(torch.ones(int(LENGTHS.sum()), dtype=torch.uint8), LENGTHS)
ORDERS: dict[str, Callable[[int], Order]] = {
    "shuffled": lambda seed: ShuffledOrder(50, 8, 1, seed, CPU),
    "by length": lambda seed: LengthOrder(torch.from_numpy(LENGTHS), 8, 1, seed),
    **{
        scheme: lambda seed, scheme=scheme: JointOrder(  # type: ignore[misc]
            Sampling(scheme), [50, 20], 8, 1, seed, CPU, [TOKENS, DenseRows(np.zeros((20, 2)))]
        )
        for scheme in ("cycle", "proportional", "balanced", "temperature")
    },
}


def rows(order: Order) -> list[list[int]]:
    return [[int(row) for part in (batch if isinstance(batch, tuple) else (batch,)) for row in part] for batch in order]


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_goes_on_from_its_state(name: str, tmp_path: Path) -> None:
    """Which is kept in a file without pickle."""
    first, second = ORDERS[name](0), ORDERS[name](1)
    rows(first)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    expected = [rows(first) for _ in range(3)]
    assert [rows(second) for _ in range(3)] == expected
    assert expected[0] != expected[1]
