"""`mtl init`: a YAML file for a data set, guessed from the data."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtl_cli.cli.arguments import Parser, notice
from mtl_cli.config.errors import UserError
from mtl_cli.config.registry import components, file_suffixes, kind_of_file, unread_file
from mtl_cli.io import user_path

if TYPE_CHECKING:
    from mtl_cli.data.base import DataSource
    from mtl_cli.data.guess import Guess

TABLE_KINDS = ("h5ad", "npz", "images")
"""Kinds whose columns are labels alone: features are elsewhere."""
MODELS = {"residue": "sequence_cnn", "token": "text_cnn"}
"""What reads sequences, and texts, without anything that has to be downloaded."""


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl init",
        usage="mtl init DATA [-o FILE.yaml] [--target COLUMN ...] [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write a commented YAML file for a data set, guessed from the data: targets and\n"
        "their kinds, ids, dates, columns that give a target away. It trains as it\n"
        "stands: mtl train FILE.yaml.",
        epilog="""\
On a terminal it asks which columns are to be predicted, in a pipe it does not.

examples:
  mtl init houses.csv && mtl train houses.yaml
  mtl init houses.csv --target price --target sold
  mtl init proteins.fasta --labels labels.csv
  mtl init cells.h5ad -o -                  prints the file""",
    )
    result.add_argument(
        "data",
        metavar="DATA",
        help="a table (of features, sequences, texts), FASTA, CoNLL, .h5ad, images as .npz or in folders",
    )
    result.add_argument("-o", "--output", metavar="FILE", help="by default DATA's name with .yaml, here; - prints it")
    result.add_argument(
        "--target", action="append", default=[], metavar="COLUMN", help="a column to be predicted; may be repeated"
    )
    result.add_argument("--labels", metavar="TABLE", help="for a FASTA file: a table with its labels, by id")
    result.add_argument("--force", action="store_true", help="overwrite FILE if it exists")
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl init`` with these arguments."""
    arguments = parser().parse_args(argv)
    data = arguments.data
    kind, source = _source(data, arguments.labels)
    output = arguments.output or f"{user_path(data).absolute().name.split('.')[0] or 'data'}.yaml"
    path = None if output == "-" else user_path(output)
    _check_output(path, output, arguments.force)
    from mtl_cli.data.forms import whole_rows
    from mtl_cli.data.guess import guess, read_columns

    table, kinds = read_columns(source, data, notice)
    whole = None if kind in TABLE_KINDS else whole_rows(table, kind)
    if kind == "fasta" and len(table.columns) == 2:  # ids and sequences
        raise UserError(data, "has no labels in its headers, such as family=kinase", "--labels TABLE has them, by id")
    features = kind not in TABLE_KINDS and (whole is None or not whole.alone)
    found = guess(table, kinds, data, arguments.target, features, whole)
    if not arguments.target and sys.stdin.isatty() and sys.stderr.isatty():
        found = guess(table, kinds, data, _ask(found), features, whole)
    settings: dict[str, Any] = {"kind": kind, "path": data, **source.guessed_keys()}
    if arguments.labels is not None:
        settings["labels"] = arguments.labels
    if whole is not None:
        settings |= whole.settings
    model = None if whole is None else {"trunk": {"kind": MODELS[whole.kind]}}
    name = "FILE.yaml" if path is None else output
    if "id" not in vars(source):
        found = replace(found, id=None)
    found = _checked(found, settings, model)
    from mtl_cli.reports.guessed import yaml_of

    words = data if arguments.labels is None else f"{data} --labels {arguments.labels}"
    text = yaml_of(found, settings, model, name, words)
    if path is None:
        print(text, end="")
        return 0
    from mtl_cli.io import atomic

    atomic(path, lambda file: file.write_text(text, encoding="utf-8"))
    notice(f"{output} predicts {', '.join(task.name for task in found.tasks)}; next: mtl train {output}")
    print(output)
    return 0


def _source(data: str, labels: str | None) -> tuple[str, DataSource]:
    """Return the kind of a data set and its config. Raises UserError if it is none that can be read."""
    path = user_path(data)
    if labels is not None and kind_of_file(data) != "fasta":
        raise UserError("--labels", f"is for FASTA files, and {data} is none")
    if path.is_dir():
        return "images", components("dataset")["images"](path=data)
    kind = kind_of_file(data)
    if kind is None:
        what = unread_file(data) or ("is not a data set by its name", f"it must end in one of {file_suffixes()}")
        raise UserError(data, *what)
    from mtl_cli.data.files import resolve

    resolve(data)
    given = {} if labels is None else {"labels": labels}
    return kind, components("dataset")[kind](path=data, **given)


def _check_output(path: Path | None, output: str, force: bool) -> None:
    if path is None:
        return
    if not path.absolute().parent.is_dir():
        raise UserError(output, "its folder does not exist")
    if path.suffix not in (".yaml", ".yml"):
        raise UserError(output, "is not the name of a YAML file", f"-o {Path(output).stem}.yaml")
    if path.exists() and not force:
        raise UserError(output, "already exists", "give another file with -o, or add --force to replace it")


def _ask(found: Guess) -> list[str]:
    """Ask on the terminal which columns are to be predicted."""
    for task in [*found.tasks, *found.others]:
        print(f"  {task.name}: {task.settings['kind']}, {task.about}", file=sys.stderr)
    default = ",".join(task.name for task in found.tasks)
    print(f"which of these are to be predicted? [{default}] ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline().strip()
    return [name.strip() for name in answer.split(",")] if answer else [task.name for task in found.tasks]


def _checked(found: Guess, settings: dict[str, Any], model: dict[str, Any] | None) -> Guess:
    """Return the guess without features that give a target away; the data are read as for training.

    Raises
    ------
    UserError
        As training would.
    """
    from mtl_cli.config.parse import parse
    from mtl_cli.training.build import prepare_data

    plain: dict[str, Any] = {
        "dataset": {
            **settings,
            **({"id": found.id} if found.id else {}),
            **({"features": {"exclude": list(found.excluded)}} if found.excluded else {}),
        },
        "tasks": {task.name: task.settings for task in found.tasks},
    }
    look = prepare_data(parse(_whole(plain, model)), lambda line: None).look()
    findings = [] if look.features is None else look.features.findings
    excluded = {
        column: f"{finding.text}: take the line out if it is known when predicting"
        for finding in findings
        if finding.kind in ("leak", "label")
        for column in finding.columns
    }
    if len(excluded) >= len(found.features):
        excluded = {}
    features = {name: about for name, about in found.features.items() if name not in excluded}
    return replace(found, excluded=found.excluded | excluded, features=features)


def _whole(plain: dict[str, Any], model: dict[str, Any] | None) -> dict[str, Any]:
    """Return a whole config of a data set and its tasks, all else as usual."""
    from mtl_cli.config.assemble import Assembler
    from mtl_cli.config.overrides import read_settings

    assembler = Assembler()
    words = [] if model is None else [f"model={model['trunk']['kind']}"]
    settings = read_settings([f"dataset={plain['dataset']['kind']}", "tasks={x: binary}", *words], assembler.folders)
    return {**assembler(settings).plain, **plain}
