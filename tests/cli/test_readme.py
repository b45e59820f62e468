"""The README: every command in it runs, and what it shows of the code is current."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mtl_cli.cli.list import balancers_markdown
from mtl_cli.data.files import resolve
from tests.conftest import MTL, houses
from tests.proteins import proteins, write
from tests.readme import README, ROOT, groups_table, replace

BLOCKS = re.findall(r"^```sh\n(.*?)^```", README.read_text(), flags=re.DOTALL | re.MULTILINE)
ESM2 = next(block for block in BLOCKS if "model=esm2" in block)
ELSEWHERE = {
    ESM2: "test_esm2_from_a_folder_that_is_gone_when_it_predicts, in test_proteins.py: here there is no network",
    "make demo\n": "test_make_demo",
    "python -m tests.proteins .\n": "the next test writes fewer of them",
    "python -m pip install -c constraints.txt .\n": "test_a_wheel_works_from_any_folder, in tests/test_packaging.py",
    "make test\nmake lint\nmake bench\n": "CI runs the first two",
    "mtl data fetch mnist_fashion\nmtl train dataset=mnist_fashion model=cnn trainer.epochs=3\n": "test_real_images.py",
}


SHORT = """\
mtl() {  # as written, but every training is short
    if [ "$1" = train ]; then command mtl "$@" trainer.epochs=6 plots=false; else command mtl "$@"; fi
}
"""


def test_every_command_is_known() -> None:
    text = README.read_text()
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for command in re.findall(r"`(mtl (?:train|predict|evaluate|data)[^`]*)`", outside):
        assert "=" not in command or any(command in block for block in BLOCKS), command
    assert set(ELSEWHERE) <= set(BLOCKS)
    assert sum("mtl " in block for block in BLOCKS) >= 8


MADE = next(block for block in BLOCKS if "run_dir=houses_run" in block)
MIDDLE = next(number for number, block in enumerate(BLOCKS) if "model.trunk.hidden=[128,64]" in block)
HALVES = {"data": BLOCKS[:MIDDLE], "settings": [MADE, *BLOCKS[MIDDLE:]]}
"""Two, so that they run side by side; the second begins with the run that a command in it starts from."""


@pytest.mark.parametrize("half", HALVES)
def test_every_command_runs_in_order_in_a_new_users_folder(tmp_path: Path, half: str) -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    houses().to_csv(tmp_path / "houses.csv", index=False)
    write(tmp_path, proteins(60))
    shutil.copy(resolve("scanpy:10x_pbmc68k_reduced.h5ad"), tmp_path / "cells.h5ad")
    wine = (ROOT / "mtl_cli/data/builtin/winequality-red.csv").read_text().splitlines()
    new = [";".join(line.split(";")[:-1]) for line in wine[:21]]
    (tmp_path / "new_wines.csv").write_text("\n".join(new) + "\n")
    script = "set -e\n" + SHORT + "\n".join(block for block in HALVES[half] if block not in ELSEWHERE)
    environment = {**os.environ, "PATH": f"{MTL.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count('"status": "done"') >= script.count("mtl train -m") + 8
    if half == "settings":
        assert len((tmp_path / "scored.csv").read_text().splitlines()) == 21
        assert done.stdout.count('"predicted_quality"') == 3, "the last pipe shows three rows"


def test_make_demo(tmp_path: Path) -> None:
    """With what is installed already; CI's clean clone installs by the same rules."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".venv"):
        if not (ROOT / name).exists():
            pytest.skip(f"there is no {name} here")
        (tmp_path / name).symlink_to(ROOT / name)
    dry = subprocess.run(["make", "-n", "demo"], cwd=tmp_path, capture_output=True, text=True, check=True)
    if "pip" in dry.stdout:
        pytest.skip("the environment of this checkout was not made by make")
    done = subprocess.run(["make", "demo"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "results are in outputs/" in done.stderr


def test_the_tables_are_current() -> None:
    text = README.read_text()
    assert replace(text, "groups", groups_table()) == text, "run `make readme`"
    assert replace(text, "balancers", balancers_markdown().strip()) == text, "run `make readme`"


def test_the_picture_is_there() -> None:
    for path in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README.read_text()):
        assert (ROOT / path).is_file()
