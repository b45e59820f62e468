"""The command line of `mtl train`, before anything is composed."""

from __future__ import annotations

from pathlib import Path

import pytest

from mtl_cli.config.compose import compose
from mtl_cli.config.overrides import read_arguments


def plain(*words: str) -> dict:
    arguments = read_arguments(list(words))
    assert arguments.problems == []
    return compose(arguments.overrides, arguments.config_dirs)


@pytest.mark.parametrize(
    "path",
    ["my.csv", "a b.csv", "data(1).csv", "é.csv", "a=b.csv", "x#y.csv", "back\\slash.csv", "it's.tsv", "a,b.csv"],
)
def test_a_file_as_data_set(path: str) -> None:
    config = plain(f"dataset={path}", "tasks={price: regression}")
    assert config["dataset"]["kind"] == "csv"
    assert config["dataset"]["path"] == path


def test_a_parquet_file_as_data_set() -> None:
    assert plain("dataset=my.parquet", "tasks={a: binary}")["dataset"]["kind"] == "parquet"


def test_a_home_folder_is_expanded() -> None:
    assert plain("dataset=~/my.csv", "tasks={a: binary}")["dataset"]["path"] == str(Path.home() / "my.csv")


def test_values_that_hydra_cannot_read_are_text() -> None:
    assert plain("dataset=wine", "run_dir=out(1) é#2")["run_dir"] == "out(1) é#2"


def test_tasks_as_a_whole_replace_those_of_the_data_set() -> None:
    assert plain("dataset=wine", "tasks={alcohol: regression}")["tasks"] == {"alcohol": "regression"}
    tasks = plain("dataset=wine", "tasks.quality.weight=2")["tasks"]
    assert list(tasks) == ["quality", "is_good"]
    assert tasks["quality"] == {"kind": "regression", "weight": 2}


def test_keys_that_no_yaml_file_shows_can_be_set() -> None:
    config = plain("dataset=wine", "dataset.id=x", "dataset.split.stratify=[is_good]", "model.heads.quality.hidden=[8]")
    assert config["dataset"]["id"] == "x"
    assert config["dataset"]["split"]["stratify"] == ["is_good"]
    assert config["model"]["heads"] == {"quality": {"hidden": [8]}}


def test_flags_may_stand_anywhere() -> None:
    arguments = read_arguments(["dataset=wine", "-m", "seed=0,1", "--cfg", "job", "balancer=uniform,gradnorm"])
    assert arguments.problems == []
    assert arguments.multirun
    assert arguments.flags == ["--cfg", "job"]
    assert sorted(arguments.sweeps.values()) == [["++seed=0", "++seed=1"], ["balancer=uniform", "balancer=gradnorm"]]


def test_several_files_make_a_sweep() -> None:
    arguments = read_arguments(["-m", "dataset=a.csv,b.csv", "tasks={a: binary}"])
    assert arguments.problems == []
    assert "dataset=csv" in arguments.overrides
    assert list(arguments.sweeps.values()) == [['++dataset.path="a.csv"', '++dataset.path="b.csv"']]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dataset=wnie"], "dataset: there is no 'wnie'; did you mean dataset=wine?"),
        (["dataset=wine", "balancer=gradnrm"], "balancer: there is no 'gradnrm'; did you mean balancer=gradnorm?"),
        (["dataset=wine", "model=null"], "model: there is no 'null'"),
        (["dataset=wine", "seed=0,1"], "seed: has several values; add -m to run each of seed=0, seed=1"),
        (["dataset=wine", "seed"], "seed: is neither a flag nor key=value"),
        (["dataset=wine", "--mutlirun"], "--mutlirun: unknown flag; did you mean --multirun?"),
        (["dataset=wine", "--cfg"], "--cfg: needs a value"),
        (["dataset=wine", "--config-dir", "nowhere"], "--config-dir: there is no folder nowhere"),
        (["balancer=uniform"], "dataset: needs a value; give dataset=FILE.csv or one of csv, "),
        (["nothing.yaml"], "nothing.yaml: there is no such file"),
        (["-m", "dataset=wine", "balancer=uniform,nope"], "balancer: there is no 'nope'"),
    ],
)
def test_problems_are_found(words: list[str], line: str) -> None:
    assert any(str(problem).startswith(line) for problem in read_arguments(words).problems)
