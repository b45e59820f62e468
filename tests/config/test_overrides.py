"""KEY=VALUE: what each word sets, in what letters, and what cannot hold together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl_cli.config.assemble import Assembler, assemble
from mtl_cli.config.overrides import read_settings
from mtl_cli.config.parse import parse
from mtl_cli.config.values import read_value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("3e-3", 0.003),
        ("true", True),
        ("null", None),
        ("[64,32]", [64, 32]),
        ("{price: regression, sold: {kind: binary, positive: yes}}", {"price": "regression", "sold": {"kind": "binary", "positive": "yes"}}),
        ("{größe: regression}", {"größe": "regression"}),
        ("[größe,価格, 'a b', NO]", ["größe", "価格", "a b", "NO"]),
        ("{'my price': {kind: regression, target: \"a, b\"}}", {"my price": {"kind": "regression", "target": "a, b"}}),
        ("{4: regression}", {4: "regression"}),
        ("é #2", "é #2"),
        ("data(1).csv", "data(1).csv"),
        ("[größe", "[größe"),
        ("'3'", "3"),
        ("", ""),
    ],
)  # fmt: skip
def test_values(text: str, value: Any) -> None:
    found = read_value(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "path",
    ["my.csv", "a b.csv", "data(1).csv", "é.csv", "a=b.csv", "x#y.csv", "back\\slash.csv", "it's.tsv", "a,b.csv"],
)
def test_a_file_as_data_set(path: str) -> None:
    dataset = assemble([f"dataset={path}", "tasks={price: regression}"])["dataset"]
    assert (dataset["kind"], dataset["path"]) == ("csv", path)


def test_a_parquet_file_as_data_set() -> None:
    assert assemble(["dataset=my.parquet", "tasks={a: binary}"])["dataset"]["kind"] == "parquet"


def test_a_home_folder_is_expanded() -> None:
    config = assemble(["dataset=~/my.csv", "tasks={a: binary}"])
    assert config["dataset"]["path"] == str(Path.home() / "my.csv")


def test_values_that_hydra_cannot_read_are_text() -> None:
    assert assemble(["dataset=wine", "run_dir=out(1) é#2"])["run_dir"] == "out(1) é#2"


def test_tasks_as_a_whole_replace_those_of_the_data_set() -> None:
    assert assemble(["dataset=wine", "tasks={alcohol: regression}"])["tasks"] == {"alcohol": {"kind": "regression"}}
    tasks = assemble(["dataset=wine", "tasks.quality.weight=2"])["tasks"]
    assert list(tasks) == ["quality", "is_good"]
    assert tasks["quality"] == {"kind": "regression", "weight": 2}


def test_a_key_in_a_short_form() -> None:
    tasks = {"price": {"kind": "regression", "weight": 2}, "sold": {"kind": "binary"}}
    assert (
        assemble(["dataset=s.csv", "tasks={price: regression, sold: binary}", "tasks.price.weight=2"])["tasks"] == tasks
    )


@pytest.mark.parametrize(
    ("words", "tasks"),
    [
        (["tasks={größe: regression}", "tasks.größe.weight=2"], {"größe": {"kind": "regression", "weight": 2}}),
        (["tasks={価格: multiclass}", "tasks.価格.target=x"], {"価格": {"kind": "multiclass", "target": "x"}}),
        (["tasks={4: regression, 5: binary}", "tasks.4.weight=2"], {"4": {"kind": "regression", "weight": 2}, "5": {"kind": "binary"}}),
        (["tasks={'my price': regression}", "tasks.'my price'.weight=2"], {"my price": {"kind": "regression", "weight": 2}}),
        (["tasks={my price: regression}", "tasks.my price.weight=2"], {"my price": {"kind": "regression", "weight": 2}}),
        (["tasks={it's: regression}", "tasks.it's.weight=2"], {"it's": {"kind": "regression", "weight": 2}}),
        (["tasks={km/h: regression}", "tasks.km/h.weight=2"], {"km/h": {"kind": "regression", "weight": 2}}),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)  # fmt: skip
def test_names_of_any_letters(words: list[str], tasks: dict[str, Any]) -> None:
    config = assemble(["dataset=my.csv", *words])
    assert config["tasks"] == tasks
    names = parse({**config, "dataset": assemble(["dataset=wine"])["dataset"]}).tasks
    assert list(names) == list(tasks)


def test_a_quoted_dot_is_part_of_a_name() -> None:
    (settings,) = [read_settings(["tasks.'a.b=c'.weight=2"], Assembler().folders)]
    assert settings.values == {("tasks", "a.b=c", "weight"): 2}


def test_keys_that_no_yaml_file_shows_can_be_set() -> None:
    words = ["dataset.id=x", "dataset.split.stratify=[is_good]", "model.heads.quality.hidden=[8]"]
    config = assemble(["dataset=wine", *words])
    assert config["dataset"]["id"] == "x"
    assert config["dataset"]["split"]["stratify"] == ["is_good"]
    assert config["model"]["heads"] == {"quality": {"hidden": [8]}}


def test_a_list_s_item_and_a_key_taken_out() -> None:
    config = assemble(["dataset=wine", "model.trunk.hidden.1=8", "~tasks.is_good"])
    assert config["model"]["trunk"]["hidden"] == [128, 8]
    assert list(config["tasks"]) == ["quality"]


@pytest.mark.parametrize("word", ["balancer=gradnorm", "+balancer=gradnorm", "balancer='gradnorm'"])
def test_a_group_s_file(word: str) -> None:
    assert assemble(["dataset=wine", word])["balancer"]["alpha"] == 1.5


@pytest.mark.parametrize("word", ["model.sharing=mmoe", "model/sharing=mmoe"])
def test_a_file_of_a_group_inside_a_group(word: str) -> None:
    assert assemble(["dataset=wine", word, "model.sharing.experts=3"])["model"]["sharing"]["experts"] == 3


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dataset=wnie"], "dataset: there is no 'wnie'; did you mean dataset=wine?"),
        (["balancer=gradnrm"], "balancer: there is no 'gradnrm'; did you mean balancer=gradnorm?"),
        (["model=null"], "model: there is no 'null'"),
        (["seed=0,1"], "seed: has several values; add -m to run each of seed=0, seed=1"),
        (["seed=range(2)"], "seed: has several values; add -m to run each of seed=0, seed=1"),
        (["seed=range(1,2),5"], "seed: range(1,2),5 is not a list of values; for example range(1,10) or 0.1,0.5"),
        (["balancer=uniform,uw"], "balancer: there is no 'uniform,uw'; with -m, each of them is a run of its own"),
        (["seed"], "seed: is neither a flag nor key=value"),
        (["a..b=1"], "a..b=1: cannot be read as key=value"),
        (["my.csv"], "my.csv: is neither a flag nor key=value; did you mean dataset=my.csv?"),
        (["wine"], "wine: is neither a flag nor key=value; did you mean dataset=wine?"),
        (["gradnorm"], "gradnorm: is neither a flag nor key=value; did you mean balancer=gradnorm?"),
        (["tasks.a.weight=1", "~tasks.a"], "tasks.a: is both set and removed"),
        (["~seed=1"], "~seed=1: removes a key and takes no value; write ~seed"),
        (["hydra.run.dir=x"], "hydra.run.dir: Hydra's own keys are not accepted; mtl runs jobs itself: run_dir=FOLDER"),
        (["hydra/launcher=joblib"], "hydra/launcher: Hydra's own keys are not accepted"),
        (["+hydra.sweep.dir=x"], "hydra.sweep.dir: Hydra's own keys are not accepted"),
        (["~hydra"], "hydra: Hydra's own keys are not accepted"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_the_words(words: list[str], line: str) -> None:
    (problem,) = read_settings(words, Assembler().folders).problems
    assert str(problem).startswith(line)


@pytest.mark.parametrize(
    ("words", "key", "value", "note"),
    [
        (["seed=1", "seed=2"], "seed", 2, "seed is given twice: 2 holds, not 1"),
        (
            ["balancer=uw", "balancer=uniform"],
            "balancer",
            {"name": "uniform"},
            "balancer is given twice: uniform holds, not uw",
        ),
        (
            ["dataset=a.csv", "dataset=b.csv"],
            "dataset",
            {"path": "b.csv"},
            "dataset.path is given twice: b.csv holds, not a.csv",
        ),
        (["seed=1", "seed=1"], "seed", 1, None),
    ],
)
def test_of_a_key_given_twice_the_last_holds(words: list[str], key: str, value: Any, note: str | None) -> None:
    assembler = Assembler()
    found = assembler(read_settings(["dataset=wine", *words] if key != "dataset" else words, assembler.folders))
    plain = found.plain[key]
    assert ({name: plain[name] for name in value} if isinstance(value, dict) else plain) == value
    assert found.notes == (() if note is None else (note,))


def test_a_data_set_after_a_file_is_not_that_file() -> None:
    wine = assemble(["dataset=wine"])
    assert assemble(["dataset=my.csv", "dataset=wine"]) == wine
    assert assemble(["dataset=my.csv", "dataset.path=x.csv", "dataset=wine"])["dataset"]["path"] == "x.csv"
    assert assemble(["dataset=my.csv", "dataset=wine", "dataset=b.csv"])["dataset"]["path"] == "b.csv"
