"""Every method has a config that says what it is and holds its defaults; they can be listed without loading torch."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import subprocess
import sys

import pytest
import yaml

from mtl_cli.cli.list import GROUPS, table
from mtl_cli.cli.main import run
from mtl_cli.config.paths import conf_dir
from mtl_cli.config.registry import components

BALANCERS = components("balancer")
WITHOUT_PAPER = {"uniform", "static"}


@pytest.mark.parametrize("name", BALANCERS)
def test_the_config_has_the_defaults_and_says_what_it_is(name: str) -> None:
    text = (conf_dir() / "balancer" / f"{name}.yaml").read_text(encoding="utf-8")
    fields = {field.name: field for field in dataclasses.fields(BALANCERS[name])}
    keys = yaml.safe_load(text)
    assert keys.pop("name") == name
    for key, value in keys.items():
        field = fields[key]
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()
        assert default == (float(value) if isinstance(default, float) else value), key
    own = set(inspect.get_annotations(BALANCERS[name])) & set(fields)
    assert own <= set(keys), "every setting of a method's own is in its config"
    lines = text.splitlines()
    assert lines[0].startswith(f"# mtl train dataset=wine balancer={name}")
    comment = " ".join(line.lstrip("# ") for line in lines if line.startswith("#"))
    if name not in WITHOUT_PAPER:
        assert re.search(r"arXiv \d{4}\.\d{5}|openreview \w+", comment)
        assert re.search(r"arXiv \d{4}\.\d{5}|openreview \w+", BALANCERS[name].paper)
        assert "Use it " in comment


def test_importing_the_methods_does_not_load_torch() -> None:
    code = (
        "import sys; from mtl_cli.config.registry import components; components('balancer');"
        "print([heavy for heavy in ('torch', 'numpy', 'torchjd', 'pandas') if heavy in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("what", [what for what in GROUPS if what not in ("plugins", "runs")])  # tested elsewhere
def test_lists_have_a_name_and_a_sentence(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", what, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["name"] and row["what"] for row in rows)
    assert run(["list", what]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *(row["name"] for row in rows)]


def test_the_list_of_balancers_names_needs_cost_and_paper(capsys: pytest.CaptureFixture[str]) -> None:
    run(["list", "balancers"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "needs", "cost", "paper"]
    starts = [lines[0].index(word) for word in ("needs", "cost", "paper")]
    famo = next(line for line in lines if line.startswith("famo"))
    assert [famo[i:j].strip() for i, j in zip([0, *starts], [*starts, None], strict=True)] == [
        "famo",
        "losses",
        "+ one more forward pass",
        "Liu et al. 2023, arXiv 2306.03792",
    ]
    assert {row["name"] for row in table("balancers")} == set(BALANCERS)


def test_without_a_name_the_lists_are_listed_and_a_wrong_one_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    assert "mtl list balancers" in capsys.readouterr().out
    assert run(["list", "balancer"]) == 2
    assert "did you mean balancers?" in capsys.readouterr().err
