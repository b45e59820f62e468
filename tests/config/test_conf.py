"""The shipped YAML files: each composes, opens with its command, and says what its component takes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from mtl_cli.config.assemble import assemble
from mtl_cli.config.errors import UserError
from mtl_cli.config.parse import parse
from mtl_cli.config.paths import PROTOCOLS, SPACES, conf_dir
from mtl_cli.config.registry import PACKAGES, SELECTORS, components
from mtl_cli.config.schema import EarlyStopping, Head, Trainer

OTHER = (PROTOCOLS, SPACES)  # which no run chooses from: studies/test_benchmark.py, config/test_space.py
FILES = sorted(file for file in conf_dir().rglob("*.yaml") if file.parent.name not in OTHER)
TABLE = ["dataset.path=builtin:winequality-red.csv", "tasks={quality: regression}"]


def identifier(file: Path) -> str:
    return str(file.relative_to(conf_dir()))


@pytest.mark.parametrize("file", FILES, ids=identifier)
def test_every_file_opens_with_a_command_that_composes(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tables = [f"houses.{ending}" for ending in ("xlsx", "arff", "jsonl", "feather")]
    for name in ("proteins.fasta", "proteins.csv", "reviews.csv", "labels.csv", "cells.h5ad", "images.npz", *tables):
        (tmp_path / name).touch()  # their being there is all that is looked at
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# mtl train ")
    assert lines[1].startswith("# "), "what it is comes next"
    words = shlex.split(lines[0].removeprefix("# mtl train ").split("      ")[0])
    words = [word.replace("houses.csv", "builtin:winequality-red.csv").replace("price", "quality") for word in words]
    words = [word.replace("houses.parquet", "builtin:winequality-red.csv").replace("sold", "alcohol") for word in words]
    try:
        parse(assemble(words))
    except UserError as error:
        if "pip install 'mtl-cli[" in str(error):  # said before all else, and tested where it is installed
            pytest.skip(str(error))
        raise
    if file.parent != conf_dir():
        key = ".".join(file.parent.relative_to(conf_dir()).parts)
        assert f"{key}={file.stem}" in words or file.stem == "default"


FOLDERS = {group: conf_dir() / {"sharing": "model/sharing"}.get(group, group) for group in PACKAGES}


@pytest.mark.parametrize("group", [group for group, folder in FOLDERS.items() if folder.is_dir()])
def test_yaml_says_what_the_dataclass_says(group: str) -> None:
    """Every component has its file; the keys are the same, and so are the defaults."""
    known = components(group)
    files = {file.stem: OmegaConf.to_container(OmegaConf.load(file)) for file in FOLDERS[group].glob("*.yaml")}
    assert set(known) <= set(files)
    for name, cls in known.items():
        content: Any = files[name]
        content = content["dataset"] if group == "dataset" else content
        content.pop(SELECTORS[group])
        assert_same(cls, content, name)


def test_trainer_and_model_yaml_say_what_the_dataclasses_say() -> None:
    trainer: Any = OmegaConf.to_container(OmegaConf.load(conf_dir() / "trainer" / "default.yaml"))
    assert_same(EarlyStopping, trainer.pop("early_stopping"), "early_stopping")
    assert_same(Trainer, trainer, "trainer")
    for file in (conf_dir() / "model").glob("*.yaml"):
        model: Any = OmegaConf.to_container(OmegaConf.load(file))
        if "defaults" in model:  # it builds on another, with values of its own
            continue
        assert_same(Head, model["head"], "head")
        trunk = model["trunk"]
        assert_same(components("trunk")[trunk.pop("kind")], trunk, file.stem)


def assert_same(cls: Any, content: dict[str, Any], name: str) -> None:
    """Compare with the defaults of a dataclass, or with one that is itself a default."""
    by_name = {field.name: field for field in fields(cls)}
    assert set(content) <= set(by_name), name
    for key, value in content.items():
        field = by_name[key]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        default = default if isinstance(cls, type) else getattr(cls, key)
        if isinstance(value, dict) and not isinstance(default, dict):
            assert_same(default, value, f"{name}.{key}")
        elif default is MISSING:
            assert value == "???"
        else:
            assert (tuple(value) if isinstance(default, tuple) else value) == default, f"{name}.{key}"


def test_no_python_path_stands_in_a_config() -> None:
    for file in conf_dir().rglob("*.yaml"):
        assert "_target_" not in yaml.safe_dump(yaml.safe_load(file.read_text())), file


def test_components_import_nothing_heavy() -> None:
    """A wrong config is found without torch, pandas, scikit-learn and matplotlib."""
    code = (
        "import sys\n"
        "from mtl_cli.config.registry import PACKAGES, components\n"
        "for group in PACKAGES: assert components(group) or group == 'callback', group\n"
        "print([name for name in ('torch', 'pandas', 'sklearn', 'matplotlib') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "hidden"),
    [
        ([], [256]),
        (["model=mlp"], [128, 64]),
        (["experiment=cells"], [200, 100]),
        (["model.trunk.hidden=[8]"], [8]),
    ],
)
def test_cells_have_a_model_of_their_own_unless_one_is_chosen(words: list[str], hidden: list[int]) -> None:
    assert assemble(["dataset=pbmc", *words])["model"]["trunk"]["hidden"] == hidden
    assert assemble([*words, "dataset=wine"])["model"]["trunk"]["hidden"] == ([128, 64] if hidden == [256] else hidden)
