"""`mtl config show`, and the flags behind `mtl train`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.conftest import InProcess


def test_the_config_is_shown_and_nothing_is_trained(mtl: InProcess) -> None:
    status, out, err = mtl("config", "show", "dataset=wine", "balancer=gradnorm", "seed=${trainer.batch_size}")
    config = yaml.safe_load(out)
    assert (status, err) == (0, "")
    assert config["balancer"]["alpha"] == 1.5
    assert config["seed"] == 64
    assert config["model"]["sharing"] == {"kind": "hard"}
    assert list(Path.cwd().iterdir()) == []


def test_what_is_shown_can_be_trained_and_shown_again(mtl: InProcess) -> None:
    _, out, _ = mtl("config", "show", "dataset=x.csv", "tasks={größe: {kind: binary, positive: yes}, 4: regression}")
    Path("mine.yaml").write_text(out, encoding="utf-8")
    assert mtl("config", "show", "mine.yaml")[1] == out
    other = yaml.safe_load(mtl("config", "show", "mine.yaml", "seed=3", "tasks.größe.weight=2")[1])
    assert (other["seed"], other["tasks"]["größe"]["weight"]) == (3, 2)


@pytest.mark.parametrize("text", ["\\${x", "a\\${x}"])
def test_text_that_is_no_interpolation_stays_text(mtl: InProcess, text: str) -> None:
    status, out, err = mtl("config", "show", "dataset=wine", f"run_dir={text}")
    assert (status, err) == (0, "")
    assert yaml.safe_load(out)["run_dir"] == text
    Path("mine.yaml").write_text(out, encoding="utf-8")
    assert mtl("config", "show", "mine.yaml")[1] == out


def test_notes_go_to_stderr(mtl: InProcess) -> None:
    _, out, err = mtl("config", "show", "dataset=wine", "experiment=cells", "balancer=uw")
    assert yaml.safe_load(out)["balancer"]["name"] == "uw"
    assert err == "note: experiment=cells: ignored because of balancer=uw: balancer.in_order\n"


def test_folders_and_names(mtl: InProcess) -> None:
    Path("mine/balancer").mkdir(parents=True)
    Path("mine/balancer/double.yaml").write_text("name: static\nweights: {quality: 2.0}\n")
    Path("mine/study.yaml").write_text("dataset: {kind: csv, path: x.csv}\ntasks: {a: regression}\nseed: 7\n")
    for words in (["--config-dir", "mine"], ["--config-dir=mine"], ["-cd", "mine"]):
        config = yaml.safe_load(mtl("config", "show", "dataset=wine", "balancer=double", *words)[1])
        assert config["balancer"]["weights"] == {"quality": 2.0}
    config = yaml.safe_load(mtl("config", "show", "--config-name", "study", "balancer=double", "-cd", "mine")[1])
    assert (config["seed"], config["balancer"]["name"], config["trainer"]["batch_size"]) == (7, "static", 64)


@pytest.mark.parametrize("command", [["train"], ["config", "show"]])
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["dataset=wine", "--cfg", "job"], "--cfg: is not a flag of mtl; mtl config show KEY=VALUE…"),
        (["dataset=wine", "--cfg=job"], "--cfg: is not a flag of mtl; mtl config show KEY=VALUE…"),
        (["--info"], "--info: is not a flag of mtl; mtl config show KEY=VALUE…"),
        (["--hydra-help"], "--hydra-help: is not a flag of mtl; mtl config show KEY=VALUE…"),
        (["dataset=wine", "--resolve"], "--resolve: is not a flag of mtl; mtl config show KEY=VALUE…"),
        (["--config-path", "x"], "--config-path: is not a flag of mtl; give the folder as --config-dir DIR"),
        (["wine"], "wine: is neither a flag nor key=value; did you mean dataset=wine?"),
        (["my.csv", "tasks={a: binary}"], "my.csv: is neither a flag nor key=value; did you mean dataset=my.csv?"),
        (["a.yaml", "b.yaml"], "a.yaml and b.yaml: only one config can be started from"),
        (["a.yaml", "--config-name", "b"], "a.yaml and --config-name b: only one config can be started from"),
        (["nothing.yaml"], "nothing.yaml: there is no such file"),
        (["--config-dir", "nowhere"], "--config-dir: there is no folder nowhere"),
        (["--config-dir"], "--config-dir: needs a value"),
        (["--config-name", "x"], "--config-name: there is no folder to find x.yaml in; add --config-dir DIR"),
        (["dataset=wine", "--mutlirun"], "--mutlirun: unknown flag; did you mean --multirun?"),
        (["dataset=wine", "--epochs=3"], "--epochs: unknown flag; did you mean trainer.epochs=3?"),
        (["dataset=wine", "--batch-size", "3"], "--batch-size: unknown flag; did you mean trainer.batch_size=3?"),
        (["dataset=wine", "--lr"], "--lr: unknown flag; did you mean optimizer.lr=…?"),
        (["dataset=wine", "--seed=3"], "--seed: unknown flag; did you mean seed=3?"),
        ([], "dataset: needs a value; give dataset=FILE.csv or one of arff, csv, "),
    ],
)
def test_one_line_and_nothing_made(mtl: InProcess, command: list[str], words: list[str], line: str) -> None:
    status, out, err = mtl(*command, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"mtl {command[0]}: error: {line}")
    assert list(Path.cwd().iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["config"], "mtl config: error: COMMAND: is missing; mtl config show KEY=VALUE…"),
        (["config", "shwo"], "mtl config: error: shwo: unknown command; did you mean show?"),
        (["config", "show", "-m", "dataset=wine"], "mtl config: error: -m: is for mtl train"),
        (["list", "gradnorm"], "mtl list: error: gradnorm: cannot be listed; mtl list balancers shows it"),
        (["list", "mmoe"], "mtl list: error: mmoe: cannot be listed; mtl list sharing shows it"),
        (["-sc", "install=csh"], "mtl: error: install=csh: cannot be completed"),
    ],
)
def test_wrong_words_of_other_commands(mtl: InProcess, words: list[str], line: str) -> None:
    status, out, err = mtl(*words)
    assert (status, out) == (2, "")
    assert err.startswith(line)


def test_experiments_can_be_listed(mtl: InProcess) -> None:
    status, out, _ = mtl("list", "experiments")
    assert status == 0
    assert "wine_baseline" in out


def test_help(mtl: InProcess) -> None:
    assert mtl("config", "--help")[1].startswith("usage: mtl config show")


def test_hydra_s_keys_run_nothing(mtl: InProcess) -> None:
    Path("x.yaml").write_text(
        "dataset: {kind: csv, path: x.csv}\nhydra: {callbacks: {a: {_target_: pathlib.Path.touch, self: ran}}}\n"
    )
    for words in (["x.yaml"], ["dataset=wine", "hydra.run.dir=made"], ["-m", "dataset=wine", "hydra/launcher=joblib"]):
        status, out, err = mtl("train", *words)
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert "Hydra's own keys are not accepted; mtl runs jobs itself: run_dir=FOLDER names the folder" in err
    assert [path.name for path in Path.cwd().iterdir()] == ["x.yaml"]


@pytest.mark.parametrize(
    "text",
    [
        'trainer: {callbacks: {x: {_target_: sympy.sympify, a: \'__import__("pathlib").Path("ran").touch()\'}}}',
        "defaults: [train, 'balancer/gradnorm@_global_.hydra.callbacks.x', _self_]",
        "optimizer: {_target_: pathlib.Path.touch, self: ran}",
        "seed: !!python/object/apply:os.mkdir [ran]",
    ],
)
def test_a_config_calls_no_code(mtl: InProcess, text: str) -> None:
    Path("x.yaml").write_text(
        text if "defaults" in text else f"defaults: [train, {{override dataset: wine}}]\n{text}\n"
    )
    status, out, err = mtl("train", "x.yaml", "dataset=wine", "trainer.epochs=1", "plots=false")
    assert (status, out, "Traceback" in err) == (2, "", False)
    assert [path.name for path in Path.cwd().iterdir()] == ["x.yaml"]
