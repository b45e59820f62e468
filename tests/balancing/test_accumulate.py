"""What several batches add up to before the optimizer steps."""

import copy
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Head, Model
from mtl_cli.data.batches import Batch
from mtl_cli.training.trainer import groups
from tests.balancing.test_step import (
    CPU,
    METHODS,
    TRUNKS,
    close,
    expected_gradients,
    gradients,
    make,
    make_batch,
    make_tasks,
    network,
    positive,
)
from tests.conftest import InProcess


def parts(batch: Batch, rows: int) -> list[Batch]:
    """Cut a batch into batches of so many rows."""
    found = []
    for start in range(0, len(batch), rows):
        some = slice(start, start + rows)
        masks = {name: None if mask is None else mask[some] for name, mask in batch.masks.items()}
        found.append(Batch(batch.inputs[some], {name: t[some] for name, t in batch.targets.items()}, masks))
    return found


@pytest.mark.parametrize("hidden", [[], [4]])
@pytest.mark.parametrize("heads", ["weighted", "unit"])
@pytest.mark.parametrize("balancer", ["uniform", "static"])
def test_equal_batches_add_up_to_the_gradient_of_all_their_rows(balancer, heads, hidden):
    method = components("balancer")[balancer](heads=heads)
    tasks = make_tasks(weight=3.0)
    model = network(Model(trunk=TRUNKS["plain"], head=Head(hidden=hidden)), tasks)
    other, whole = copy.deepcopy(model), make_batch()
    step = TrainingStep(model, tasks, method, CPU)
    for batch in parts(whole, 8):
        step(batch)
    assert step.settle(3)
    TrainingStep(other, tasks, method, CPU)(whole)
    assert close(gradients(model), gradients(other))


@pytest.mark.parametrize("heads", ["weighted", "unit"])
@pytest.mark.parametrize("name", METHODS)
def test_each_batch_is_weighed_by_itself_and_leaves_the_others_alone(name, heads):
    """The gradient is the mean of the batches' Σ w_t L_t, each with its own weights and its own rows with labels."""
    model, step = make(replace(positive(components("balancer")[name]()), heads=heads))
    masks = {"size": (torch.arange(24) % 3 > 0).float(), "good": (torch.arange(24) >= 8).float()}
    expected, directed = None, False
    before = copy.deepcopy(model)
    for batch in parts(make_batch(masks), 8):
        result = step(batch)
        directed |= step.directed
        found = expected_gradients(before, step.tasks, batch, result.weights, heads, step.head_weights)
        expected = found if expected is None else {key: expected[key] + found[key] for key in found}
    assert step.settle(3)
    if directed:  # the heads only: below them it is a direction
        expected = {key: value for key, value in expected.items() if "heads" in key}
    assert close({key: 3 * value for key, value in gradients(model).items()}, expected)


def test_batches_are_grouped_and_made_when_they_are_due():
    made = []

    def batches():
        for number in range(7):
            made.append(number)
            yield number

    seen = []
    for group in groups(batches(), 3):
        assert len(made) == sum(map(len, seen)) + 1
        seen.append(list(group))
    assert seen == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_run_steps_once_for_so_many_batches(mtl: InProcess):
    """One epoch of k batches of B, and one of a batch of k·B rows, end in the same weights."""
    table = pd.DataFrame({"x": range(40), "z": [i % 7 for i in range(40)], "y": [float(i % 5) for i in range(40)]})
    table.to_csv("table.csv", index=False)
    common = [
        "train", "dataset=table.csv", "tasks={y: regression, z: regression}", "balancer=uniform", "trainer.epochs=1",
        "optimizer=sgd", "plots=false", "model.trunk.dropout=0", "dataset.split={test: 0.1, val: 0.1}",
    ]  # fmt: skip
    trained = []
    for name, size, accumulate in (("one", 32, 1), ("several", 8, 4)):
        status, _, err = mtl(
            *common, f"trainer.batch_size={size}", f"trainer.accumulate={accumulate}", f"run_dir={name}"
        )
        assert status == 0, err
        trained.append(torch.load(Path(name) / "mtl_model.pt", weights_only=True)["weights"])
        rows = pd.read_csv(Path(name) / "uniform_weights.csv")
        assert rows["step"].iloc[-1] == accumulate  # steps are batches
    for key, value in trained[0].items():
        torch.testing.assert_close(value, trained[1][key], atol=1e-6, rtol=1e-5)


def test_all_rows_at_once_leave_nothing_to_accumulate(mtl: InProcess):
    status, _, err = mtl("train", "dataset=wine", "trainer.batch_size=null", "trainer.accumulate=2")
    assert status == 2
    assert "trainer.accumulate" in err
    assert "batch_size" in err
