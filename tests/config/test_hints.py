"""Hints by meaning: what other tools call our keys and words."""

from __future__ import annotations

import pytest

from mtl_cli.config.assemble import Assembler, assemble
from mtl_cli.config.check import check_runs
from mtl_cli.config.errors import UserError
from mtl_cli.config.hints import KEYS, VALUES
from mtl_cli.config.keys import known_keys
from mtl_cli.config.paths import conf_dir
from mtl_cli.studies.executors import make_executor


def lines(*words: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        check_runs([list(words)], Assembler())
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["epochs=5"], "epochs: unknown key; did you mean trainer.epochs=5?"),
        (["lr=0.01", "balancer=gradnorm"], "lr: unknown key; did you mean optimizer.lr=0.01?"),
        (["batch_size=8"], "batch_size: unknown key; did you mean trainer.batch_size=8?"),
        (["device=gpu"], "device: cannot be 'gpu'; did you mean cuda?"),
        (["trainer.precision=fp16"], "trainer.precision: cannot be 'fp16'; did you mean float16?"),
        (["tasks.quality.kind=classification"], "tasks.quality.kind: 'classification' is not a known task kind; did you mean multiclass?"),
        (["alpha=2", "balancer=gradnorm"], "alpha: unknown key; did you mean balancer.alpha=2?"),
        (["stratify=[is_good]"], "stratify: unknown key; did you mean dataset.split.stratify=[is_good]?"),
        (["optimizer.learning_rate=1"], "optimizer.learning_rate: unknown key; did you mean optimizer.lr=1?"),
        (["model.hidden=[3]"], "model.hidden: unknown key; did you mean model.trunk.hidden=[3]?"),
        (["expriment=cells"], "expriment: unknown key; did you mean experiment?"),
        (["trainer.epoch=3"], "trainer.epoch: unknown key; did you mean trainer.epochs?"),
        (["tasks.qualty.weight=2"], "tasks.qualty: no task is called 'qualty'; did you mean quality?"),
    ],
)  # fmt: skip
def test_what_is_meant(words: list[str], line: str) -> None:
    assert lines("dataset=wine", *words) == [line]


def test_the_table_names_what_there_is() -> None:
    """A hint must not lead to the next error."""
    words = ["dataset=csv", "dataset.path=x.csv", "optimizer=sgd", "tasks={a: regression}"]
    known = {*known_keys(assemble(words)), "experiment", "n_jobs"}
    assert make_executor({"n_jobs": "2"})
    assert {key for key in KEYS.values() if key not in known} == set()
    allowed = {word for words in known_keys(assemble(["dataset=wine"])).values() for word in words}
    assert {word for word in VALUES.values() if word not in allowed} == set()


def test_known_keys_are_those_that_the_check_knows() -> None:
    for file in sorted((conf_dir() / "balancer").glob("*.yaml")):
        plain = assemble(["dataset=wine", f"balancer={file.stem}"])
        known = known_keys(plain)
        assert {f"balancer.{key}" for key in plain["balancer"]} <= set(known)
        assert {"trainer.epochs", "tasks.quality.weight", "dataset.split.stratify", "model.trunk.hidden"} <= set(known)
    assert known["device"] == ["auto", "cpu", "cuda", "mps"]
    assert known["plots"] == ["true", "false", "png", "svg"]
