"""What a checkpoint says of a training that was changed in one place is one line that names the place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mtl_cli.runs.forms import Either, Many, Rows, Some, check_form
from mtl_cli.runs.strangers import NotOurs
from tests.conftest import InProcess

WORDS = (
    "train", "dataset=wine", "trainer.epochs=1", "trainer.folds=none", "trainer.baselines=none", "plots=false",
    "model.trunk.hidden=[4]", "balancer=gradnorm", "scheduler=cosine", "device=cpu",
)  # fmt: skip
OWN = ("members", 0)
TRAINING = (*OWN, "training")
STATE = (*TRAINING, "optimizer", "state", 0)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run of an epoch."""
    from mtl_cli.cli.main import run

    folder = tmp_path_factory.mktemp("begun") / "run"
    assert run([*WORDS, f"run_dir={folder}"]) == 0
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("files", "mtl_history.csv"), -1, "has int -1 where files.mtl_history.csv should be int 0"),
        (("members",), [], "has no members"),
        (("generators", "numpy", "state", "pos"), 10**9, "has 1000000000 where numpy's place among 624 numbers"),
        (("generators", "python"), [3], "has a list of 1 where python should be a list of 3"),
        ((*OWN, "order", "generator"), torch.zeros(3), "order.generator should be a tensor of uint8"),
        ((*TRAINING, "epoch"), -1, "members[0].training.epoch"),
        ((*TRAINING, "stopped"), 7, "training.stopped should be str ''"),
        ((*TRAINING, "best", "score"), "x", "has str 'x' where training.best.score should be float 0.0"),
        ((*TRAINING, "under_way"), {"batch": 1}, "training.under_way should be a mapping of batch, log, last_good"),
        ((*TRAINING, "model"), {}, "has a mapping of nothing where training.model should be a mapping of "),
        ((*TRAINING, "callbacks"), [], "has a list of 0 where training.callbacks should be a list of "),
        ((*TRAINING, "step", "state", "weights"), torch.ones(3), "of shape [3] where training.step.state.weights"),
        ((*TRAINING, "optimizer", "param_groups", 0, "lr"), None, "has nothing where training.optimizer.param_groups"),
        ((*STATE, "exp_avg"), torch.zeros(10, 10), "of shape [10, 10] where training.optimizer.state.0.exp_avg"),
        (STATE, {}, "has a mapping of nothing where training.optimizer.state.0 should be a mapping of step, exp_avg"),
        ((*TRAINING, "optimizer", "state"), {99: {}}, "mapping of 99 where training.optimizer.state should be some"),
    ],
)  # fmt: skip
def test_a_damaged_training_is_one_line(
    mtl: InProcess, begun: dict[str, bytes], place: tuple[Any, ...], value: Any, message: str
) -> None:
    Path("run").mkdir()
    for name, data in begun.items():
        Path("run", name).write_bytes(data)
    content = torch.load("run/checkpoint.pt", weights_only=True)
    inner = content
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    torch.save(content, "run/checkpoint.pt")
    status, _, err = mtl("train", "resume=run", "trainer.epochs=2")
    errors = [line for line in err.splitlines() if "error: " in line]
    assert status == 2 and len(errors) == 1 and errors[0].startswith("mtl train: error: run/checkpoint.pt: "), err
    assert message in errors[0]


def test_a_state_has_its_form() -> None:
    form = {
        "count": 0,
        "rate": 0.5,
        "weights": Either(None, torch.zeros(2)),
        "steps": Rows(torch.zeros(3)),
        "seen": Many(0.0),
        "by": Some({1: "", 2: ""}),
        "more": {...: True},
    }
    state = {"count": 3, "rate": 1, "weights": None, "steps": torch.ones(5, 3), "seen": [0.1, 2], "by": {2: "x"}}
    check_form({**state, "more": {"a": False}}, form)
    for key, value in {
        "count": True, "rate": "1", "weights": torch.zeros(2, dtype=torch.complex64), "steps": torch.ones(5, 2),
        "seen": [None], "by": {3: "x"}, "more": {"a": 1},
    }.items():  # fmt: skip
        with pytest.raises(NotOurs, match=f"where {key}.* should be"):
            check_form({**state, "more": {}, key: value}, form)
