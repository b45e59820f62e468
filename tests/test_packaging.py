"""The package: configs and data inside, found from any folder, however it was installed."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests import warm

ROOT = Path(__file__).parents[1]
TRAIN = ["train", "dataset=wine", "balancer=gradnorm", "trainer.epochs=1", "plots=false"]


def run(folder: Path, python_path: Path) -> subprocess.CompletedProcess[str]:
    return warm.mtl(folder, *TRAIN, path=(python_path,))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return next(folder.glob("mtl_cli-*.whl"))


def test_a_wheel_holds_configs_data_and_licences(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for file in (ROOT / "conf").rglob("*.yaml"):
        assert f"mtl_cli/conf/{file.relative_to(ROOT / 'conf')}" in names
    assert {"mtl_cli/data/builtin/winequality-red.csv", "mtl_cli/data/builtin/winequality-red.LICENSE"} <= names
    for file in (ROOT / "mtl_cli" / "help").glob("*.md"):
        assert f"mtl_cli/help/{file.name}" in names
    assert {"mtl_cli/py.typed", "mtl_cli/__init__.pyi"} <= names
    assert not any(name.startswith(("tests/", "outputs/")) for name in names)


@pytest.mark.slow
def test_a_wheel_works_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "elsewhere").mkdir()
    done = run(tmp_path / "elsewhere", tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "done"
    where = subprocess.run(
        [sys.executable, "-c", "from mtl_cli.config.paths import conf_dir; print(conf_dir())"],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "site")},
    )
    assert Path(where.stdout.strip()) == tmp_path / "site" / "mtl_cli" / "conf"


def test_a_bare_checkout_works(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mtl_cli", tmp_path / "checkout" / "mtl_cli")
    shutil.copytree(ROOT / "conf", tmp_path / "checkout" / "conf")
    (tmp_path / "elsewhere").mkdir()
    done = run(tmp_path / "elsewhere", tmp_path / "checkout")
    assert done.returncode == 0, done.stderr


def test_every_bound_says_why() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    block = text.split("\ndependencies = [\n")[1].split("\n]")[0]
    for line in block.splitlines():
        assert "#" in line and len(line.split("#")[1].strip()) > 15, line


def test_constraints_hold_every_dependency_and_the_torch_of_ci() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower() for line in lines if "==" in line}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [requirement for extra in project["optional-dependencies"].values() for requirement in extra]
    for requirement in [*project["dependencies"], *extras]:
        if requirement.startswith("mtl-cli["):  # extras of its own
            continue
        name = requirement.split(">")[0].split("<")[0].strip()
        assert name.lower() in pinned, name
    assert "torch==2.13.0" in lines


def test_a_plugin_adds_a_balancer_and_its_config(tmp_path: Path) -> None:
    """Another package, by its entry point and a conf folder; nothing here names it."""
    package = tmp_path / "site" / "mtl_doubling"
    (package / "conf" / "balancer").mkdir(parents=True)
    (package / "__init__.py").write_text(
        "from dataclasses import dataclass\n"
        "from mtl_cli.balancing.methods.static import Static\n"
        "from mtl_cli.config.registry import component\n"
        "@component('balancer', 'doubling')\n"
        "@dataclass(frozen=True, kw_only=True)\n"
        "class Doubling(Static):\n"
        "    by: float = 2.0\n"
        "    def init_state(self, tasks, device):\n"
        "        return {'weights': super().init_state(tasks, device)['weights'] * self.by}\n"
    )
    (package / "conf" / "balancer" / "doubling.yaml").write_text(
        "# mtl train balancer=doubling\nname: doubling\nby: 2.0\n"
    )
    metadata = tmp_path / "site" / "mtl_doubling-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: mtl-doubling\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[mtl_cli.plugins]\ndoubling = mtl_doubling\n")
    mtl = functools.partial(warm.mtl, tmp_path, "train", path=(ROOT, tmp_path / "site"))
    keys = ["dataset=wine", "trainer.epochs=1", "plots=false", "run_dir=run", "trainer.folds=none"]
    done = mtl(*keys, "balancer=doubling", "balancer.by=3")
    assert done.returncode == 0, done.stderr
    header, row = (tmp_path / "run" / "doubling_weights.csv").read_text().splitlines()
    assert row.split(",")[header.split(",").index("weight_quality")] == "3.0"
    assert (
        "balancer.bye: unknown key; did you mean balancer.by?"
        in mtl(*keys, "balancer=doubling", "balancer.bye=3").stderr
    )
    assert "doubling" in mtl("--help").stdout
