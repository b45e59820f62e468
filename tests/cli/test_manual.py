"""The README and the pages of `mtl help`: every command in them runs, and what they show is what commands print."""

from __future__ import annotations

import doctest
import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mtl_cli.cli.help import rendered
from mtl_cli.data.files import resolve
from tests import dna, texts
from tests.conftest import MTL, InProcess, houses
from tests.images import bars, write_photos
from tests.manual import HELP, README, ROOT, TEMPLATE, Block, benchmarked, blocks, pages, quoted, shown
from tests.outcomes import assays, patients
from tests.proteins import proteins, write

SHORT = ["trainer.epochs=2", "plots=false"]
"""In every training, so that the pages run in minutes; the slow tests run what is printed in full."""
SEARCH = ["trainer.epochs=2", "trials=2", "trainer.baselines=none"]
"""In every search."""
ALONE = ["trainer.folds=none", "trainer.baselines=none"]
"""In trainings in processes of their own, which the fixtures of ``tests/conftest.py`` do not reach."""
SHELL = f"""\
mtl() {{
    local words=() word
    if [ "$1" != train ]; then command mtl "$@"; return; fi
    for word; do case "$word" in trainer.epochs=* | plots=*) ;; *) words+=("$word") ;; esac; done
    command mtl "${{words[@]}}" {" ".join(SHORT + ALONE)}
}}
"""
MEASURED = [
    (page, *found)
    for page in pages()
    for found in re.findall(r"^<!-- metrics of: mtl (.*) -->\n((?:- .*\n)+)", page.read_text(), flags=re.MULTILINE)
]
"""Pages with metrics of a command: the command, and the list of metrics below it."""


@pytest.fixture
def users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files that the pages name."""
    houses().to_csv(tmp_path / "houses.csv", index=False)
    patients().to_csv(tmp_path / "patients.csv", index=False)
    assays().to_csv(tmp_path / "assays.csv", index=False)
    write(tmp_path, proteins(60))
    dna.write(tmp_path, dna.dna(60))
    texts.write(tmp_path, texts.texts(60))
    shutil.copy(resolve("scanpy:10x_pbmc68k_reduced.h5ad"), tmp_path / "cells.h5ad")
    images, species = bars(60, 3, 0)
    np.savez(tmp_path / "images.npz", images=images, species=species)
    write_photos(tmp_path)
    wine = (ROOT / "mtl_cli/data/builtin/winequality-red.csv").read_text().splitlines()
    new = [";".join(line.split(";")[:-1]) for line in wine[:21]]
    (tmp_path / "wines.csv").write_text("\n".join(wine) + "\n")
    (tmp_path / "new_wines.csv").write_text("\n".join(new) + "\n")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{MTL.parent}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def commands_of(block: Block) -> list[str]:
    """Return the commands of a block, one a line but for what stands in quotes."""
    found, command = [], ""
    for line in block.text.replace("\\\n", " ").splitlines():
        command += line
        if command.count("'") % 2:
            command += "\n"
        elif command.strip():
            found.append(command)
            command = ""
    return found


def run_block(block: Block, mtl: InProcess) -> str:
    """Run the commands of a block: here if it is nothing but `mtl` commands, else in a shell; return its output."""
    commands = commands_of(block)
    if all(line.startswith("mtl ") and not re.search(r"[|$<;]", line) for line in commands):
        for line in commands:
            command, _, file = line.partition(" > ")
            words = shlex.split(command)[1:]
            if words[0] == "train":
                words = [word for word in words if not word.startswith(("trainer.epochs=", "plots="))] + SHORT
                words += ALONE if any(word.startswith("launcher=") for word in words) else []
            if words[0] == "tune":
                words = [word for word in words if not word.startswith(("trainer.epochs=", "trials="))] + SEARCH
            status, out, err = mtl(*words)
            assert status == 0, f"{line}\n{err}"
            if file:
                Path(file.strip()).write_text(out)
        return ""
    done = subprocess.run(["bash", "-c", f"set -e\n{SHELL}{block.text}"], capture_output=True, text=True)
    assert done.returncode == 0, f"{block.text}\n{done.stderr[-3000:]}"
    return done.stdout


PAGES = [page if page == README else pytest.param(page, marks=pytest.mark.slow) for page in pages()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_runs_in_order_in_a_new_users_folder(page: Path, users_folder: Path, mtl: InProcess) -> None:
    found = [block for block in blocks(page) if block.runs]
    if any("jq" in block.text for block in found) and shutil.which("jq") is None:
        pytest.skip("jq is not installed")
    printed = [run_block(block, mtl) for block in found]
    if page.stem == "runs":  # a pipeline of installed commands
        assert len((users_folder / "scored.csv").read_text().splitlines()) == 21
        score, *rows = next(filter(None, printed)).splitlines()
        assert 0 < float(score) < 1
        assert [set(json.loads(row)) >= {"predicted_quality"} for row in rows] == [True] * 3


def test_the_pages_have_commands_and_what_is_not_run_says_why() -> None:
    assert sum(block.runs for page in pages() for block in blocks(page)) > 30
    for page in pages():
        for block in blocks(page):
            if block.language == "sh" and not block.runs:
                assert len(str(block.note)) > len("not run: ") + 10, block


def test_commands_within_sentences_are_in_a_block_too() -> None:
    every = "\n".join(block.text for page in pages() for block in blocks(page))
    for page in pages():
        outside = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
        for command in re.findall(r"`(mtl (?:train|predict|evaluate|data|config)[^`]*)`", outside):
            assert "=" not in command or command in every, f"{page.name}: {command}"


def test_names_of_topics_in_the_pages_exist() -> None:
    topics = {page.stem for page in HELP.glob("*.md")}
    for page in pages():
        for topic in re.findall(r"`mtl help ([a-z]+)`", page.read_text()):
            assert topic in topics, f"{page.name}: {topic}"


@pytest.mark.slow
def test_the_python_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = doctest.testfile(str(HELP / "python.md"), module_relative=False, encoding="utf-8")
    assert found.failed == 0
    assert found.attempted > 30


def test_the_plugin_page_quotes_the_template() -> None:
    text = (HELP / "plugins.md").read_text()
    files = [file for file in TEMPLATE.rglob("*") if file.suffix in (".py", ".yaml") or file.name == "pyproject.toml"]
    assert len(files) == 7
    for file in files:
        assert f"\n`{file.relative_to(TEMPLATE).as_posix()}`:\n" in text
    assert quoted(text) == text, "run `make readme`"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_tables_of_benchmarks_are_those_of_the_references(page: Path) -> None:
    text = page.read_text()
    assert benchmarked(text) == text, "run `make readme`"


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_pictures_pages_and_files_are_there(page: Path) -> None:
    text = page.read_text()
    assert text.startswith("# ")
    outside = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", outside):
        assert (page.parent / path).exists(), path
    for path in re.findall(r"`((?:tests|mtl_cli|conf)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_readme_is_short() -> None:
    assert len(README.read_text().split()) <= 1500


@pytest.mark.slow
def test_make_demo(tmp_path: Path) -> None:
    """With what is installed already; CI's clean clone installs by the same rules."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", ".venv"):
        if not (ROOT / name).exists():
            pytest.skip(f"there is no {name} here")
        (tmp_path / name).symlink_to(ROOT / name)
    dry = subprocess.run(["make", "-n", "demo"], cwd=tmp_path, capture_output=True, text=True, check=True)
    if "pip" in dry.stdout:
        pytest.skip("the environment of this checkout was not made by make")
    own = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}  # of the make that runs the tests
    done = subprocess.run(["make", "demo"], cwd=tmp_path, capture_output=True, text=True, env=own)
    assert done.returncode == 0, done.stderr
    assert "results are in outputs/" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(("page", "command", "metrics"), MEASURED, ids=lambda value: getattr(value, "stem", ""))
def test_metrics_in_the_pages_are_what_full_length_runs_reach(
    page: Path, command: str, metrics: str, users_folder: Path, mtl: InProcess
) -> None:
    """As near as another processor's float32 sums come."""
    if page.stem == "proteins":
        write(users_folder, proteins(1000))
    status, out, err = mtl(*shlex.split(command))
    assert status == 0, err
    found = json.loads(out)["metrics"]
    for line in metrics.splitlines():
        task, *pairs = re.findall(r"[\w.]+", line)
        for name, value in zip(pairs[::2], pairs[1::2], strict=True):
            assert found[task][name] == pytest.approx(float(value), abs=0.06), line


@pytest.mark.slow
def test_the_first_result_is_what_the_command_prints(tmp_path: Path) -> None:
    """Line by line: the same words, and numbers as near as another processor's float32 sums come."""
    words = [sys.executable, "-m", "mtl_cli", "train", "dataset=wine", "balancer=gradnorm", "plots=false"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    err = done.stderr
    readme = next(block.text for block in blocks(README) if (block.note or "").startswith("result: "))
    number = r"-?\d[\d,]*\.?\d*"
    for ours, theirs in zip(readme.splitlines(), shown(err).splitlines(), strict=True):
        assert re.sub(rf"\s*{number}", " #", ours) == re.sub(rf"\s*{number}", " #", theirs)
        pairs = [[float(n.replace(",", "")) for n in re.findall(number, line)] for line in (ours, theirs)]
        if "weights of epoch" not in ours and "predicted" not in ours:
            np.testing.assert_allclose(pairs[0], pairs[1], rtol=0.1, atol=0.1)


def test_help_lists_topics_and_shows_one(mtl: InProcess) -> None:
    status, out, _ = mtl("help")
    assert status == 0
    assert max(len(line) for line in out.splitlines()) <= 80
    for page in HELP.glob("*.md"):
        heading = page.read_text().splitlines()[0].removeprefix("# ")
        said = re.search(rf"^  {page.stem} +(\S.*)$", out, flags=re.MULTILINE)
        assert said is not None and heading.lower().endswith(said[1].lower()) and len(said[1]) > 8
    status, out, _ = mtl("help", "tables")
    assert status == 0
    assert out == (HELP / "tables.md").read_text(), "plain Markdown on a pipe"


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("balancer", "did you mean `mtl help balancers`?"),
        ("protiens", "did you mean `mtl help proteins`?"),
        ("xyzzy", "`mtl help` lists the topics"),
        *((command, f"`mtl {command} --help` says what the command takes") for command in ("train", "predict")),
    ],
)
def test_an_unknown_topic_is_one_line(mtl: InProcess, topic: str, hint: str) -> None:
    assert mtl("help", topic) == (2, "", f"mtl help: error: {topic}: there is no such topic; {hint}\n")


@pytest.mark.parametrize("page", sorted(HELP.glob("*.md")), ids=lambda page: page.stem)
def test_a_page_fits_a_terminal_of_80_columns(page: Path) -> None:
    """No comment for the tests is shown, and no line of code is too long: Rich would break it."""
    written = io.StringIO()
    Console(file=written, width=80).print(rendered(page.read_text()))
    assert "<!--" not in written.getvalue() and "not run:" not in written.getvalue()
    for block in blocks(page):
        for line in block.text.splitlines():
            assert line in written.getvalue(), f"too long for a terminal: {line}"
