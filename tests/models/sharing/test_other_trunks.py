"""The schemes on trunks that are no plain stack: ensembles, and sequences with labels of rows and of tokens."""

from __future__ import annotations

import json

import pytest
import torch

from mtl_cli.config.registry import components
from mtl_cli.config.schema import Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.network import Shape, build_network
from mtl_cli.models.trunks.sequence_cnn import SequenceCNN
from tests.conftest import InProcess


@pytest.mark.parametrize("scheme", ["none", "soft", "mmoe", "cgc", "dselect_k"])
def test_an_ensemble_is_shared_member_by_member(mtl: InProcess, scheme: str) -> None:
    pytest.importorskip("tabm")
    words = ("model=tabm", "model.trunk.members=3", "model.trunk.width=48", "trainer.epochs=1", "plots=false")
    status, out, err = mtl("train", "dataset=wine", f"model.sharing={scheme}", *words)
    assert status == 0, err
    assert json.loads(out)["status"] == "done"


@pytest.mark.parametrize("scheme", ["none", "soft"])
def test_tasks_of_rows_and_of_tokens_have_sequence_trunks_of_their_own(scheme: str) -> None:
    config = Model(trunk=SequenceCNN(width=8, blocks=2), sharing=components("sharing")[scheme]())
    tasks = {"row": Shape(2), "token": Shape(3, "token")}
    model = build_network(config, InputSpec("sequence", (7,), names=list("abcdefg")), tasks)
    found = model(torch.randint(1, 7, (4, 9)))
    assert {name: tuple(output.shape) for name, output in found.items()} == {"row": (4, 2), "token": (4, 9, 3)}


@pytest.mark.parametrize("scheme", ["cross_stitch", "ple"])
def test_an_ensemble_has_no_stages(mtl: InProcess, scheme: str) -> None:
    pytest.importorskip("tabm")
    status, _, err = mtl("train", "dataset=wine", f"model.sharing={scheme}", "model=tabm")
    assert status == 2
    assert f"model.sharing: {scheme} joins trunks stage by stage" in err
    assert "; choose from cgc, dselect_k, hard, mmoe, none, soft" in err


@pytest.mark.parametrize("scheme", ["none", "soft", "cross_stitch", "mmoe"])
def test_convolutional_trunks_are_shared(mtl: InProcess, scheme: str) -> None:
    """On real images: what digit it is, and whether it is 5 or more."""
    tasks = "tasks={digit: multiclass, high: {kind: binary, target: digit, at_least: 5}}"
    words = ("model=cnn", "model.trunk.channels=[4,8]", "model.trunk.hidden=[16]", "model.trunk.dropout=0")
    training = ("trainer.epochs=3", "optimizer.lr=0.01", "plots=false")
    status, out, err = mtl("train", "dataset=digits", tasks, f"model.sharing={scheme}", *words, *training)
    assert status == 0, err
    metrics = json.loads(out)["metrics"]
    assert metrics["digit"]["accuracy"] > 0.6, "a tenth by chance"
    assert metrics["high"]["accuracy"] > 0.7


def test_ple_needs_stages_of_rows(mtl: InProcess) -> None:
    status, _, err = mtl("train", "dataset=digits", "model=cnn", "model.sharing=ple")
    assert status == 2
    assert "ple joins trunks stage by stage, and this one has no stages that return rows; choose from cgc, " in err
