"""The JSON Schema of configs agrees with what `mtl train` takes and refuses."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from mtl_cli.config.assemble import Assembler
from mtl_cli.config.differences import differences
from mtl_cli.config.json_schema import config_schema
from mtl_cli.config.overrides import read_settings
from mtl_cli.config.places import line_of, lines_of
from mtl_cli.config.registry import SELECTORS, components
from tests.conftest import InProcess


@functools.cache
def validator() -> Any:
    """Return what checks a config against the schema, which is itself checked once: that takes a second."""
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(config_schema())
    return jsonschema.Draft202012Validator(config_schema())


def composed(*words: str) -> dict[str, Any]:
    assembler = Assembler()
    return assembler(read_settings(list(words), assembler.folders)).plain


def test_every_component_and_every_key_has_its_place() -> None:
    schema = config_schema()
    for group in SELECTORS:
        for name in components(group):
            assert schema["$defs"][f"{group}.{name}"]["properties"][SELECTORS[group]] == {"const": name}
    gradnorm = schema["$defs"]["balancer.gradnorm"]["properties"]["alpha"]
    assert gradnorm["type"] == "number" and gradnorm["default"] == 1.5
    trainer = schema["properties"]["trainer"]["properties"]
    assert trainer["epochs"]["anyOf"] == [{"enum": ["auto"]}, {"type": "integer", "exclusiveMinimum": 0}]
    assert "Members that each have another part" in trainer["folds"]["description"]
    assert "What is trained of it" in schema["$defs"]["trunk.esm2"]["properties"]["tune"]["description"], "of a base"
    json.dumps(schema)


@pytest.mark.parametrize(
    "words",
    [
        ["dataset=wine", "balancer=gradnorm", "model.sharing=mmoe"], ["dataset=pbmc", "scheduler=cosine"],
        ["dataset=digits", "model=cnn", "regularizer=l2"], ["experiment=wine_auxiliary"], ["dataset=mnist_fashion"],
        ["dataset=fasta", "dataset.path=x", "dataset.labels=y", "model=sequence_cnn", "tasks={a: {kind: residue}}"],
    ],
)  # fmt: skip
def test_configs_that_train_are_valid(words: list[str]) -> None:
    validator().validate(composed(*words))


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ({"trainer": {"epochz": 3}}, "epochz"), ({"optimizer": {"name": "adam", "lr": -1}}, "adam"),
        ({"tasks": {"a": "regresion"}}, "regresion"), ({"balancer": {"name": "gradnrom"}}, "gradnrom"),
        ({"seed": "x"}, "'x'"), ({"datset": {}}, "datset"),
    ],
)  # fmt: skip
def test_what_is_refused_is_not_valid(config: dict[str, Any], fault: str) -> None:
    whole = {"dataset": {"kind": "csv", "path": "x.csv"}, "tasks": {"a": "regression"}}
    validator().validate(whole)
    error = pytest.importorskip("jsonschema").exceptions.best_match(validator().iter_errors(whole | config))
    assert error is not None and fault in str(error)


def test_lines_of_keys(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("dataset:\n  kind: csv\n  missing: [a,\n    b]\ntasks: {p: {kind: x}}\n'a.b': 3\n")
    lines = lines_of(file)
    assert [lines[key] for key in ("dataset", "dataset.kind", "dataset.missing[1]", "tasks.p.kind")] == [1, 2, 4, 5]
    assert line_of("dataset.path", lines) == 1 and line_of("tasks.p.weight", lines) == 5
    assert line_of("seed", lines) is None and line_of("a.b", lines) == 6


def test_differences_are_of_values_and_of_types() -> None:
    one = {"a": {"b": 1, "c": [1, 2]}, "d": "1", "run_dir": "x"}
    other = {"a": {"b": 1, "c": [1]}, "d": 1, "run_dir": "y", "e": None}
    assert differences(one, other) == [("a.c", [1, 2], [1]), ("d", "1", 1), ("e", "—", None)]


BAD = """\
dataset: {kind: csv, path: houses.csv, idd: house}
tasks:
  price: {kind: regresion}
  sold: binary
trainer:
  epochz: 3
"""


def test_check_names_every_problem_with_its_line(mtl: InProcess, houses_csv: Path) -> None:
    Path("bad.yaml").write_text(BAD)
    status, out, err = mtl("config", "check", "bad.yaml", "seed=-1")
    assert status == 2 and err == "note: 4 problems\n"
    assert out.splitlines() == [
        "bad.yaml:1: dataset.idd: unknown key; did you mean dataset.id?",
        "bad.yaml:3: tasks.price.kind: 'regresion' is not a known task kind; did you mean regression?",
        "bad.yaml:6: trainer.epochz: unknown key; did you mean trainer.epochs?",
        "seed: must be at least 0, not -1",
    ]
    status, out, _ = mtl("config", "check", "bad.yaml", "--format", "json")
    assert status == 2 and [row["line"] for row in json.loads(out)] == [1, 3, 6]
    Path("bad.yaml").write_text("dataset: {kind: csv, path: houses.csv}\ntasks: {price: regression}\n")
    assert mtl("config", "check", "bad.yaml")[:2] == (0, "")
    assert mtl("config", "check", "bad.yaml", "--format=json")[:2] == (0, "[]\n")
    notes = mtl("config", "check", "bad.yaml", "seed=1", "seed=2")[2].splitlines()
    assert notes == [
        "note: seed is given twice: 2 holds, not 1",
        "note: no problem found, without reading the data",
    ]
    Path("bad.yaml").write_text("dataset: {kind: csv\n")
    status, _, err = mtl("config", "check", "bad.yaml")
    assert status == 2 and err.count("\n") <= 2


def test_schema_and_diff_as_commands(mtl: InProcess, houses_run: Path, houses_csv: Path) -> None:
    status, out, _ = mtl("config", "schema")
    assert status == 0 and json.loads(out)["title"] == "A config of mtl"
    text = (houses_run / "config.yaml").read_text()
    Path("other.yaml").write_text(text.replace("seed: 0", "seed: 3"))
    status, out, err = mtl("config", "diff", str(houses_run), "other.yaml", "--format", "json")
    assert status == 0 and json.loads(out) == [{"key": "seed", str(houses_run): 0, "other.yaml": 3}]
    status, out, err = mtl("config", "diff", "other.yaml", "other.yaml")
    assert (status, out, err) == (0, "", "note: they have the same settings\n")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["shwo"], "did you mean show?"), (["check", "-m"], "-m: is for mtl train"), (["schema", "x"], "x: is one word"),
        (["diff", "nowhere", "nowhere"], "nowhere: there is no such run or file"), (["diff", "."], "required: RUN"),
        (["diff", ".", "."], ".: holds no config.yaml"), (["check", "dataset=wine", "--format", "cvs"], "did you mean csv?"),
    ],
)  # fmt: skip
def test_what_is_refused_in_one_line(mtl: InProcess, words: list[str], message: str) -> None:
    status, out, err = mtl("config", *words)
    assert (status, out) == (2, "") and err.count("\n") == 1 and message in err
