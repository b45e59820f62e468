"""`mtl explain`: what a trained model makes of its features, and what its tasks share."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.cli.arguments import (
    READING_KEYS,
    Parser,
    add_format,
    free_folder,
    notice,
    refuse_settings,
    take_keys,
    tell_unfinished,
)
from mtl_cli.config.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from mtl_cli.data.base import Examples
    from mtl_cli.inference.explain.importance import Importance
    from mtl_cli.inference.explain.rows import Explained
    from mtl_cli.inference.trained import TrainedModel

METHODS = ("permutation", "integrated-gradients", "shap")
FIRST_ROWS = 5
"""Rows that are explained one by one where none is named."""


def parser() -> Parser:
    """Return the parser of the arguments."""
    result = Parser(
        "mtl explain",
        usage="mtl explain RUN [DATA] [options] [dataset.KEY=VALUE ...]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Show which features each task needs, and what the tasks share.",
        epilog=f"""\
By default: how much skill each task loses when a feature's values are shuffled
among the rows, with a 95 % interval; of columns, genes, parts of an image and
positions of a sequence. Columns that are correlated are shuffled together too.

{READING_KEYS}
examples:
  mtl explain RUN                               on the run's own test rows
  mtl explain RUN houses.csv --plots figures    with partial dependence
  mtl explain RUN --format csv > importance.csv
  mtl explain RUN --dependence --format csv
  mtl explain RUN --markers --top 5             by class, such as a type of cell
  mtl explain RUN --shared                      CKA, gradients, directions
  mtl explain RUN --method shap --rows h017,h020""",
    )
    result.add_argument("run", metavar="RUN", help="the folder of a run, or its mtl_model.pt")
    result.add_argument("data", metavar="DATA", nargs="?", help="rows with labels; by default the run's own test rows")
    result.add_argument("--method", choices=METHODS, default="permutation", help="the last two explain single rows")
    result.add_argument("--rows", metavar="ID,ID", help=f"of single rows; by default the first {FIRST_ROWS}")
    result.add_argument("--shared", action="store_true", help="show what the tasks share, not the features")
    result.add_argument(
        "--markers",
        action="store_true",
        help="what each feature adds to the log-odds of each class, such as the markers of a type of cell",
    )
    result.add_argument("--dependence", action="store_true", help="print the partial dependence of the top features")
    result.add_argument(
        "--repeats", type=int, metavar="N", help="how often each feature is shuffled: 10, or 3 if there are very many"
    )
    result.add_argument(
        "--correlated",
        type=float,
        default=0.8,
        metavar="R",
        help="join features with at least this |rho|: 0.8; 1 joins none",
    )
    result.add_argument("--top", type=int, default=15, metavar="N", help="features shown for each task: 15")
    result.add_argument("--seed", type=int, default=0, metavar="N")
    result.add_argument("--plots", metavar="FOLDER", help="draw figures there, and write their tables, in a new folder")
    add_format(result)
    return result


def run(argv: list[str]) -> int:
    """Run ``mtl explain`` with these arguments."""
    rest, given = take_keys(argv)
    arguments = parser().parse_args(rest)
    _check(arguments)
    from mtl_cli.runs.model_file import find_model

    find_model(arguments.run)
    refuse_settings(arguments.data, "mtl explain")
    folder = None if arguments.plots is None else free_folder(arguments.plots)
    from mtl_cli.inference.trained import TrainedModel

    if arguments.method != "permutation":
        from mtl_cli.inference.explain.attribution import check_method

        check_method(arguments.method)
    model = TrainedModel.load(arguments.run).with_keys(given)
    tell_unfinished(arguments.run)
    examples = model.test_rows(notice)[0] if arguments.data is None else model.read(arguments.data, notice)
    if arguments.method != "permutation":
        return _single_rows(model, examples, arguments)
    from mtl_cli.inference.explain.rows import explained

    rows = explained(model, examples, notice, arguments.seed)
    if arguments.markers:
        return _markers(rows, arguments)
    return _shared(rows, arguments) if arguments.shared else _features(rows, arguments, folder)


def _check(arguments: argparse.Namespace) -> None:
    """Raise UserError for what does not go together, or is out of range."""
    if arguments.repeats is not None and arguments.repeats < 1:
        raise UserError("--repeats", "must be at least 1")
    if arguments.top < 1:
        raise UserError("--top", "must be at least 1")
    if not 0 < arguments.correlated <= 1:
        raise UserError("--correlated", "must be above 0 and at most 1", "1 joins no columns")
    if arguments.rows is not None and arguments.method == "permutation":
        raise UserError("--rows", "is for single rows", "add --method integrated-gradients, or shap")
    for flag, given in (
        ("--shared", arguments.shared),
        ("--markers", arguments.markers),
        ("--dependence", arguments.dependence),
    ):
        if given and arguments.method != "permutation":
            raise UserError(flag, f"does not go with --method {arguments.method}", "leave one of them out")
    chosen = [f"--{key}" for key in ("shared", "markers", "dependence") if vars(arguments)[key]]
    if len(chosen) > 1:
        raise UserError(chosen[1], f"does not go with {chosen[0]}", "leave one of them out")
    if arguments.plots and (arguments.shared or arguments.markers or arguments.method != "permutation"):
        raise UserError("--plots", "draws the importance of features", "leave --shared, --markers and --method out")


def _features(rows: Explained, arguments: argparse.Namespace, folder: Path | None) -> int:
    from mtl_cli.inference.explain.dependence import dependence, top_features
    from mtl_cli.inference.explain.importance import importance
    from mtl_cli.reports.explained import dependence_rows, importance_rows, write_figures
    from mtl_cli.reports.rows import chosen, rendered

    found = importance(rows, notice, arguments.repeats, arguments.correlated, arguments.seed)
    curves = dependence(rows, top_features(found)) if folder is not None or arguments.dependence else []
    if folder is not None:
        written = write_figures(folder, found, curves, arguments.top, notice)
        notice(f"{len(written)} files are in {arguments.plots}")
    style = chosen(arguments.format)
    if arguments.dependence:
        if not curves:
            notice("no partial dependence: no value is set alone in an image or a sequence")
        print(rendered(dependence_rows(curves), style), end="")
    elif style == "table":
        print(_as_text(rows, found, arguments.top), end="")
    else:
        print(rendered(importance_rows(found), style), end="")
    return 0


def _as_text(rows: Explained, found: list[Importance], top: int) -> str:
    from mtl_cli.inference.explain.rows import skills
    from mtl_cli.reports.explained import importance_text
    from mtl_cli.reports.rows import width

    labels = {name: int(rows.part.targets[name].mask.sum()) for name in rows.tasks}
    return importance_text(found, skills(rows, rows.outputs(rows.inputs)), labels, top, width())


def _markers(rows: Explained, arguments: argparse.Namespace) -> int:
    from mtl_cli.inference.explain.markers import markers
    from mtl_cli.reports.explained import marker_rows, marker_text
    from mtl_cli.reports.rows import chosen, rendered, width

    found = markers(rows, notice, arguments.seed)
    style = chosen(arguments.format)
    text = marker_text(found, arguments.top, width()) if style == "table" else rendered(marker_rows(found), style)
    print(text, end="")
    return 0


def _shared(rows: Explained, arguments: argparse.Namespace) -> int:
    from mtl_cli.inference.explain.shared import shared
    from mtl_cli.reports.explained import shared_notes, shared_rows
    from mtl_cli.reports.rows import chosen, rendered

    files = sorted(rows.model.path.glob("*_weights.csv"))
    found = shared(rows, files[0] if files else None, arguments.seed)
    for line in shared_notes(found):
        notice(line)
    print(rendered(shared_rows(found), chosen(arguments.format)), end="")
    return 0


def _single_rows(model: TrainedModel, examples: Examples, arguments: argparse.Namespace) -> int:
    from mtl_cli.inference.explain.attribution import attributions, explained_tasks
    from mtl_cli.reports.explained import attribution_rows
    from mtl_cli.reports.rows import chosen, rendered

    places = _places(examples, arguments.rows)
    known = explained_tasks(model)
    if not known:
        kinds = ", ".join(dict.fromkeys(task.kind for task in model.tasks.values()))
        raise UserError("--method", f"no single rows of tasks of kind {kinds} are explained", "--method permutation is")
    for name in model.tasks.keys() - known:
        notice(f"task {name} is left out: single rows of a task of kind {model.tasks[name].kind} are not explained")
    found = attributions(model, examples, places, arguments.method, arguments.seed)
    print(rendered(attribution_rows(found), chosen(arguments.format)), end="")
    return 0


def _places(examples: Examples, names: str | None) -> list[int]:
    """Return the numbers of the rows that are named by their ids."""
    if names is None:
        return list(range(min(FIRST_ROWS, len(examples.ids))))
    ids = [str(value) for value in examples.ids]
    found = []
    for name in names.split(","):
        if name.strip() not in ids:
            raise UserError("--rows", f"{examples.where} has no row '{name}'", did_you_mean(name, ids[:10_000]))
        found.append(ids.index(name.strip()))
    return found
