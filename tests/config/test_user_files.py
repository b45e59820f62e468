"""Files that the user wrote: a config to start from, folders of groups; and what is wrong with them, in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from mtl_cli.config.assemble import Assembler, assemble, resolve
from mtl_cli.config.errors import UserError
from mtl_cli.config.overrides import read_settings
from mtl_cli.config.parse import parse
from mtl_cli.config.user_files import read_yaml
from mtl_cli.config.yaml_text import to_yaml


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")
    return Path(name)


def test_yes_and_no_are_text_and_all_else_is_as_omegaconf_reads_it() -> None:
    text = "{a: yes, b: NO, c: off, d: y}"
    assert read_yaml(text) == {"a": "yes", "b": "NO", "c": "off", "d": "y"}
    others = "{a: true, b: False, c: 1e-3, d: 1_000, e: 2024-01-31, f: ~, g: .5, h: -1.5e+3, i: 0x1f, j: '1', k: .inf, l: 1.}"
    assert read_yaml(others) == OmegaConf.to_container(OmegaConf.create(others))


def test_no_base_8_or_60_and_keys_as_written() -> None:
    assert read_yaml("{a: 010, b: 12:30, c: 0, d: -7, e: '5', f: 1:30.5}") == {
        "a": "010", "b": "12:30", "c": 0, "d": -7, "e": "5", "f": "1:30.5",
    }  # fmt: skip
    assert list(read_yaml("1.50: 1\n1e3: 1\ntrue: 1\nnull: 1\n010: 1\n7: 1\n")) == [
        "1.50", "1e3", "true", "null", "010", "7",
    ]  # fmt: skip
    assert read_yaml("a: &x {1.0: 1, b: 2}\nc: {<<: *x, b: 3}\n") == {"a": {"1.0": 1, "b": 2}, "c": {"1.0": 1, "b": 3}}


def test_labels_and_names_in_a_config_file_are_as_written() -> None:
    file = write(
        "codes.yaml",
        "dataset: {kind: csv, path: builtin:winequality-red.csv}\n"
        "tasks: {1e3: {kind: binary, target: a, positive: 010}, null: {kind: binary, target: b, positive: 12:30}}\n",
    )
    tasks = parse(assemble([], primary=file)).tasks
    assert {name: task.positive for name, task in tasks.items()} == {"1e3": "010", "null": "12:30"}


def test_yes_and_no_in_a_config_file() -> None:
    file = write(
        "norway.yaml",
        "dataset: {kind: csv, path: builtin:winequality-red.csv, missing: [NO, off]}\n"
        "tasks: {sold: {kind: binary, positive: yes}}\nplots: no\n",
    )
    config = parse(assemble([], primary=file))
    assert config.tasks["sold"].positive == "yes"
    assert config.dataset.missing == ["NO", "off"]
    assert config.plots is False


def test_yes_in_a_file_of_a_group() -> None:
    write(
        "mine/dataset/cases.yaml",
        "# @package _global_\ndataset: {kind: csv, path: x.csv, id: on}\ntasks: {sold: {kind: binary, positive: Yes}}\n",
    )
    config = assemble(["dataset=cases"], [Path("mine")])
    assert config["dataset"]["id"] == "on"
    assert config["tasks"] == {"sold": {"kind": "binary", "positive": "Yes"}}


def test_true_where_text_is_meant_is_to_be_quoted() -> None:
    with pytest.raises(UserError, match=r"dataset.id: must be text, not True; quote it") as caught:
        parse(assemble(["dataset=wine", "dataset.id=true"]))
    assert len(caught.value.problems) == 1
    assert parse(assemble(["dataset=wine", "dataset.id='true'"])).dataset.id == "true"


def test_a_config_file_in_short_forms_takes_keys() -> None:
    file = write(
        "mine.yaml",
        "dataset: {kind: csv, path: x.csv}\ntasks: {price: regression, 7: binary}\nmodel: {sharing: mmoe}\n",
    )
    config = assemble(["tasks.price.weight=2", "tasks.7.weight=3", "model.sharing.experts=2"], primary=file)
    assert config["tasks"] == {"price": {"kind": "regression", "weight": 2}, "7": {"kind": "binary", "weight": 3}}
    assert config["model"]["sharing"] == {"kind": "mmoe", "experts": 2}


def test_another_model_for_a_run_keeps_its_sharing() -> None:
    run = assemble(["dataset=wine", "model.sharing=mmoe", "model.sharing.experts=3", "seed=4"])
    file = write("config.yaml", yaml.safe_dump(run, allow_unicode=True))
    assert assemble([], primary=file) == run
    other = assemble(["model=tabm"], primary=file)
    assert other["model"]["trunk"]["kind"] == "tabm"
    assert other["model"]["sharing"] == run["model"]["sharing"]
    assert other["seed"] == 4
    assert assemble(["dataset=digits"], primary=file)["tasks"].keys().isdisjoint(run["tasks"]), (
        "a data set brings its tasks"
    )


def test_another_model_for_a_run_keeps_its_heads() -> None:
    words = ["dataset=wine", "model.heads.quality.hidden=[32]", "model.adapter.width=16"]
    file = write("config.yaml", yaml.safe_dump(assemble(words)))
    assembler = Assembler(primary=file)
    found = assembler(read_settings(["model=tabm"], assembler.folders))
    assert found.plain["model"]["heads"] == {"quality": {"hidden": [32]}}
    assert found.plain["model"]["adapter"]["width"] == 16
    assert found.notes == ()
    write("config.yaml", yaml.safe_dump(assemble([*words, "model.head.hidden=[8]"])))
    found = Assembler(primary=file)(read_settings(["model=tabm"], assembler.folders))
    assert found.plain["model"]["head"]["hidden"] == []
    assert found.notes == ("config.yaml: left out are model.head.hidden, which do not belong to model=tabm",)


def test_a_file_of_defaults() -> None:
    write("mine/balancer/double.yaml", "name: static\nweights: {quality: 2.0}\n")
    file = write(
        "mine/study.yaml",
        "defaults:\n  - train\n  - override dataset: wine\n  - override balancer: double\n  - _self_\nseed: 5\n",
    )
    config = assemble([], [Path("mine")], file)
    assert (config["seed"], config["balancer"]["weights"]) == (5, {"quality": 2.0})
    assert config["tasks"].keys() == {"quality", "is_good"}
    few = write("few.yaml", "defaults: [{dataset: wine}, _self_]\n")
    assert assemble(["balancer=uw"], primary=few)["balancer"]["name"] == "uw", "a group that its defaults lack"


def test_interpolations() -> None:
    file = write(
        "mine.yaml",
        "dataset: {kind: csv, path: x.csv}\ntasks: {a: regression}\nseed: ${trainer.epochs}\ntrainer: {epochs: 3}\n",
    )
    assert assemble([], primary=file)["seed"] == 3
    assert assemble(["trainer.epochs=4"], primary=file)["seed"] == 4
    assert assemble(["dataset=wine", "seed=${trainer.batch_size}"])["seed"] == 64


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text("\\\\${}ax:'\" ", max_size=8))
def test_text_that_looks_like_an_interpolation_is_written_as_text(text: str) -> None:
    assert resolve(read_yaml(to_yaml({"a": [text], "b": 1}))) == {"a": [text], "b": 1}


BROKEN = {
    "an open bracket": ("seed: 1\ntasks: [a\n", "x.yaml:3: is not YAML: expected ',' or ']'"),
    "a tab": ("seed: 1\nmodel:\n\thidden: 3\n", "x.yaml:3: is not YAML: found character '\\t' that cannot start any token"),
    "a colon too many": ("seed: 1\na: b: c\n", "x.yaml:2: is not YAML: mapping values are not allowed here"),
    "a key twice": ("seed: 1\nplots: true\nseed: 2\n", "x.yaml:3: is not YAML: 'seed' is given twice"),
    "a Python object": ("seed: !!python/object/apply:os.getcwd []\n", "x.yaml:1: is not YAML: could not determine a constructor"),
    "a list": ("- a\n", "x.yaml: is not a mapping of keys"),
    "Hydra's keys": ("hydra: {run: {dir: x}}\n", "x.yaml: hydra: Hydra's own keys are not accepted; mtl runs jobs itself: run_dir=FOLDER"),
    "Hydra's keys, dotted": ("hydra.run.dir: x\n", "x.yaml: hydra.run.dir: Hydra's own keys are not accepted"),
    "Hydra's groups": ("defaults: [train, {override hydra/launcher: joblib}]\n", "x.yaml: hydra/launcher: Hydra's own keys are not accepted"),
    "a group put into Hydra's": ("defaults: [train, {balancer@hydra.callbacks: uw}]\n", "x.yaml: balancer@hydra.callbacks: Hydra's own keys"),
    "no such default": ("defaults: [train, {override balancer: nope}]\n", "balancer/nope: there is no such config"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line"), BROKEN.values(), ids=BROKEN)
def test_a_broken_config_file(text: str, line: str) -> None:
    with pytest.raises(UserError) as caught:
        assemble(["dataset=wine"], primary=write("x.yaml", text))
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


GROUPS = {
    "syntax": ("balancer/mine", "name: [uw\n", "mine/balancer/mine.yaml:2: is not YAML"),
    "Hydra's keys": ("balancer/mine", "# @package _global_\nhydra: {}\n", "mine/balancer/mine.yaml: hydra: Hydra's own keys"),
    "Hydra's package": ("balancer/mine", "# @package hydra.run\ndir: x\n", "mine/balancer/mine.yaml: @package hydra: Hydra's own"),
    "in a file it names": ("balancer/mine", "defaults: [inner]\n", "mine/balancer/inner.yaml: hydra: Hydra's own keys"),
    "a shipped name": ("balancer/uw", "name: static\n", "mine/balancer/uw.yaml: has the name of a config that mtl ships"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "text", "line"), GROUPS.values(), ids=GROUPS)
def test_a_broken_file_of_a_group(name: str, text: str, line: str) -> None:
    write("mine/balancer/inner.yaml", "# @package _global_\nhydra: {}\n")
    write(f"mine/{name}.yaml", text)
    group, _, option = name.partition("/")
    with pytest.raises(UserError) as caught:
        assemble(["dataset=wine", f"{group}={option}"], [Path("mine")])
    assert str(caught.value).startswith(line)


def test_a_broken_file_that_nobody_chose_is_not_read() -> None:
    write("mine/balancer/broken.yaml", "[")
    write("mine/balancer/mine.yaml", "name: uw\n")
    assert assemble(["dataset=wine", "balancer=mine"], [Path("mine")])["balancer"]["name"] == "uw"


def test_files_that_change_are_read_again_and_a_config_that_is_changed_changes_no_other() -> None:
    for seed, name in ((1, "uw"), (2, "dwa")):
        file = write("x.yaml", f"defaults: [train]\nseed: {seed}\n")
        write("mine/balancer/mine.yaml", f"name: {name}\n")
        assert assemble(["dataset=wine"], primary=file)["seed"] == seed
        assert assemble(["dataset=wine", "balancer=mine"], [Path("mine")])["balancer"]["name"] == name
    config = assemble(["dataset=wine"])
    config["tasks"].clear()
    assert assemble(["dataset=wine"])["tasks"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dataset=wine", "seed=${nothing}"], "seed: Interpolation key 'nothing' not found"),
        (["dataset=wine", "run_dir=a${b"], "run_dir: cannot be resolved: a${b"),
        (["dataset=wine", "tasks.quality.target=${oc.env:MTL_NO_SUCH}"], "tasks.quality.target: "),
        (["experiment=cells"], "dataset: needs a value"),
        (["dataset=wine", "~tasks.qual"], "~tasks.qual: there is no such key"),
    ],
)
def test_the_place_of_an_error_is_told(words: list[str], line: str) -> None:
    with pytest.raises(UserError) as caught:
        assemble(words)
    assert str(caught.value).startswith(line)


def notes_of(*words: str, folder: Path | None = None) -> tuple[dict, tuple[str, ...]]:
    assembler = Assembler([folder] if folder else [])
    found = assembler(read_settings(words, assembler.folders))
    return found.plain, found.notes


def test_an_experiment_without_what_the_user_replaced() -> None:
    plain, notes = notes_of("dataset=wine", "experiment=cells", "balancer=gradnorm")
    assert plain["balancer"] == assemble(["dataset=wine", "balancer=gradnorm"])["balancer"]
    assert (plain["optimizer"]["lr"], plain["trainer"]["batch_size"]) == (1e-3, 128)
    assert notes == ("experiment=cells: ignored because of balancer=gradnorm: balancer.in_order",)
    parse({**plain, "tasks": {"quality": {"kind": "regression"}}})


def test_an_experiment_as_a_whole_needs_no_note() -> None:
    plain, notes = notes_of("dataset=wine", "experiment=cells", "balancer=static", "model=mlp")
    assert plain["balancer"]["in_order"] == [0.3, 0.8, 1.5, 2.0]
    assert plain["model"]["trunk"]["hidden"] == [200, 100]
    assert notes == ()


def test_another_data_set_than_the_experiment_s() -> None:
    plain, notes = notes_of("experiment=wine_baseline", "dataset=my.csv", "tasks={a: binary}")
    assert plain["tasks"] == {"a": {"kind": "binary"}}
    assert plain["trainer"]["batch_size"] is None
    assert "tasks.quality.standardize" in notes[0]


def test_an_experiment_that_names_its_component_among_its_keys() -> None:
    write("mine/experiment/mixed.yaml", "# @package _global_\nmodel: {sharing: {kind: mmoe, experts: 3}}\n")
    plain, notes = notes_of("dataset=wine", "experiment=mixed", "model.sharing=ple", folder=Path("mine"))
    assert plain["model"]["sharing"]["kind"] == "ple"
    assert len(notes) == 1
    assert notes_of("dataset=wine", "experiment=mixed", folder=Path("mine"))[0]["model"]["sharing"]["experts"] == 3


def test_an_experiment_over_a_run() -> None:
    file = write("config.yaml", yaml.safe_dump(assemble(["dataset=wine", "balancer=gradnorm"])))
    config = assemble(["experiment=cells"], primary=file)
    assert config["balancer"]["name"] == "static"
    assert config["model"]["trunk"]["hidden"] == [200, 100]
