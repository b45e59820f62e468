"""The order of the words never matters, and none of them is dropped."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.errors import UserError
from mtl_cli.config.overrides import read_settings

WORDS = [
    "dataset=my.csv",
    "dataset.id=row",
    "dataset.features.exclude=[größe,価格]",
    "tasks={price: regression, größe: {kind: binary, target: g}, 4: multiclass}",
    "tasks.price.weight=7",
    "tasks.größe.positive=yes",
    "tasks.4.weight=2",
    "balancer=gradnorm",
    "balancer.alpha=0.5",
    "model=tabm",
    "model.trunk={hidden: [32]}",
    "model.trunk.dropout=0.1",
    "model.sharing=mmoe",
    "model.sharing.experts=3",
    "model.head={hidden: [8], dropout: 0.3}",
    "model.head.dropout=0.4",
    "model.heads.price.hidden=[16]",
    "experiment=wine_baseline",
    "optimizer=sgd",
    "optimizer.lr=0.1",
    "trainer={epochs: 9, batch_size: 16}",
    "trainer.early_stopping={patience: 3}",
    "trainer.early_stopping.min_delta=0.1",
    "seed=3",
    "device=cpu",
]  # fmt: skip
ASSEMBLER = Assembler()


def plain(words: list[str]) -> dict[str, Any]:
    found = read_settings(words, ASSEMBLER.folders)
    assert found.problems == []
    return ASSEMBLER(found).plain


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WORDS[1:]), unique=True), st.randoms(use_true_random=False))
def test_any_order_is_the_same_config(words: list[str], random: Any) -> None:
    words = [WORDS[0], *words]
    shuffled = random.sample(words, len(words))
    assert json.dumps(plain(words)) == json.dumps(plain(shuffled)), "to the order of the tasks"


@settings(max_examples=50, deadline=None, derandomize=True)
@given(st.randoms(use_true_random=False))
def test_none_is_dropped(random: Any) -> None:
    config = plain(random.sample(WORDS, len(WORDS)))
    assert config["dataset"]["path"] == "my.csv"
    assert config["dataset"]["id"] == "row"
    assert config["dataset"]["features"]["exclude"] == ["größe", "価格"]
    assert config["tasks"] == {
        "price": {"kind": "regression", "weight": 7},
        "größe": {"kind": "binary", "target": "g", "positive": "yes"},
        "4": {"kind": "multiclass", "weight": 2},
    }
    assert (config["balancer"]["name"], config["balancer"]["alpha"]) == ("gradnorm", 0.5)
    assert (config["model"]["trunk"]["kind"], config["model"]["trunk"]["hidden"]) == ("tabm", [32])
    assert config["model"]["trunk"]["dropout"] == 0.1
    assert (config["model"]["sharing"]["kind"], config["model"]["sharing"]["experts"]) == ("mmoe", 3)
    assert (config["model"]["head"]["hidden"], config["model"]["head"]["dropout"]) == ([8], 0.4)
    assert config["model"]["heads"] == {"price": {"hidden": [16]}}
    assert (config["optimizer"]["name"], config["optimizer"]["lr"]) == ("sgd", 0.1)
    assert (config["trainer"]["epochs"], config["trainer"]["batch_size"]) == (9, 16)
    assert config["trainer"]["early_stopping"] == {"patience": 3, "min_delta": 0.1}
    assert (config["seed"], config["device"]) == (3, "cpu")


def test_the_example_of_a_weight_that_was_dropped() -> None:
    tasks = {"price": {"kind": "regression", "weight": 7}}
    assert plain(["dataset=s.csv", "tasks.price.weight=7", "tasks={price: regression}"])["tasks"] == tasks


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["trainer.early_stopping=null", "trainer.early_stopping.patience=3"], "trainer.early_stopping.patience: cannot be set together with trainer.early_stopping=null"),
        (["model.trunk.dropout=0", "model.trunk.dropout.x=1"], "model.trunk.dropout.x: cannot be set together with model.trunk.dropout=0"),
        (["run_dir=a", "run_dir.b=c"], "run_dir.b: run_dir is a, and has no keys"),
        (["model.trunk.hidden=[1]", "model.trunk.hidden.1=c"], "model.trunk.hidden.1: model.trunk.hidden is a list of 1"),
    ],
)  # fmt: skip
def test_what_cannot_hold_together(words: list[str], line: str, turned: bool) -> None:
    with pytest.raises(UserError) as caught:
        plain(["dataset=wine", *(words[::-1] if turned else words)])
    assert str(caught.value).startswith(line)
