"""What is kept of members that are trained at once is what is kept of each alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mtl_cli.config.intervals import read_interval
from mtl_cli.config.registry import components
from mtl_cli.runs.checkpoint_file import compact
from mtl_cli.training.together.optimizer import give_states, take_states

CPU = torch.device("cpu")
SHAPES = [(3, 2), (3,), (1, 3), (1,)]
SIZE = sum(torch.Size(shape).numel() for shape in SHAPES)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_an_optimizer_of_rows_goes_on_from_those_of_members(name: str) -> None:
    """Three steps, given to the members' own optimizers, kept, and taken by another optimizer of rows."""
    config = components("optimizer")[name](**({} if name.startswith("adam") else {"momentum": 0.5}))
    torch.manual_seed(0)
    gradients = torch.randn(6, 2, SIZE)

    def steps(rows: list[nn.Parameter], optimizer: torch.optim.Optimizer, which: torch.Tensor) -> None:
        for step in which:
            for row, gradient in zip(rows, step, strict=True):
                row.grad = gradient.clone()
            optimizer.step()

    def made(values: torch.Tensor) -> tuple[list[nn.Parameter], torch.optim.Optimizer]:
        rows = [nn.Parameter(row.clone()) for row in values]
        return rows, config.build([{"params": [row]} for row in rows], CPU)

    def own() -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = config.build([nn.Parameter(torch.zeros(shape)) for shape in SHAPES], CPU)
        return optimizer

    rows, joint = made(torch.randn(2, SIZE))
    members, resumed = [own(), own()], [own(), own()]
    steps(rows, joint, gradients[:3])
    give_states(joint, rows, members)
    for before, after in zip(members, resumed, strict=True):
        after.load_state_dict(compact(before.state_dict(), everything=True))
    others, again = made(torch.stack([row.detach() for row in rows]))
    take_states(again, others, resumed)
    steps(rows, joint, gradients[3:])
    steps(others, again, gradients[3:])
    assert all(torch.equal(a, b) for a, b in zip(rows, others, strict=True))
    shape = members[0].state_dict()["state"][0]
    assert all(value.shape in ((), SHAPES[0]) for value in shape.values() if isinstance(value, torch.Tensor))


def test_a_small_part_of_a_large_memory_is_copied() -> None:
    large = torch.zeros(1000)
    found = compact({"a": [large[:3]], "b": large})
    assert found["a"][0].untyped_storage().nbytes() == 12
    assert found["b"].data_ptr() == large.data_ptr()


def test_intervals() -> None:
    assert (read_interval("epoch").unit, read_interval("none").unit) == ("epoch", "none")
    assert (read_interval("500 steps").number, read_interval("1 minute").unit) == (500, "minutes")
    for wrong in ("0 steps", "steps", "5", "-1 steps", "2 epochs", "1.5 minutes"):
        with pytest.raises(ValueError, match=wrong):
            read_interval(wrong)
