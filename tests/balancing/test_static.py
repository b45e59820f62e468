"""Weights that the user chooses, and those of levels by the name of a scheme."""

from __future__ import annotations

import pytest
import torch

from mtl_cli.balancing.methods.static import Scheme, Static, level_weights
from mtl_cli.config.assemble import assemble
from mtl_cli.config.errors import UserError
from mtl_cli.config.parse import parse

TASKS = ["lineage", "type", "phase", "state"]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [("linear", [0.5, 1.0, 1.5]), ("doubling", [3 / 7, 6 / 7, 12 / 7]), ("halving", [12 / 7, 6 / 7, 3 / 7])],
)
def test_schemes_by_name(scheme: Scheme, expected: list[float]) -> None:
    assert level_weights(scheme, 3) == pytest.approx(expected)
    balancer = Static(scheme=scheme, levels=["lineage", "type", "state"], weights={"type": 5.0})
    found = balancer.init_state(TASKS, torch.device("cpu"))["weights"]
    torch.testing.assert_close(found, torch.tensor([expected[0], 5.0, 1.0, expected[2]]))
    every = Static(scheme=scheme).init_state(TASKS, torch.device("cpu"))["weights"]
    torch.testing.assert_close(every, torch.tensor(level_weights(scheme, 4)))
    assert float(every.mean()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["balancer.scheme=doubling", "experiment=cells"],
            "balancer.scheme: cannot be combined with balancer.in_order",
        ),
        (["balancer.levels=[lineage,bulk_labels]"], "balancer.levels: is for a scheme"),
        (["balancer.scheme=linear", "balancer.levels=[lineage,lineage]"], "each named once"),
        (["balancer.scheme=linear", "balancer.levels=[lineage,bulk_label]"], "did you mean bulk_labels?"),
        (["balancer.scheme=triple"], "balancer.scheme: "),
    ],
)
def test_schemes_that_cannot_be(words: list[str], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse(assemble(["dataset=pbmc", "balancer=static", *words]))
    assert message in str(error.value)
