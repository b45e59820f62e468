"""`mtl config`: look at, check and compare configs without training."""

from __future__ import annotations

from mtl_cli.cli.arguments import Parser, add_format, notice, take_format
from mtl_cli.config.errors import Problem, UserError, did_you_mean

HELP = """\
usage: mtl config show [CONFIG.yaml] GROUP=NAME … KEY=VALUE …
       mtl config check [CONFIG.yaml] GROUP=NAME … [--format table|csv|json|md]
       mtl config schema
       mtl config diff RUN RUN [--format table|csv|json|md]

show    print the full config of `mtl train` with the same words, as YAML
check   name every problem of such a config, with file and line; exit code 2
schema  print a JSON Schema, by which editors complete and check YAML files
diff    show the settings in which two runs, or YAML files, differ

examples:
  mtl config show dataset=wine balancer=gradnorm
  mtl config show dataset=my.csv tasks='{price: regression}' > mine.yaml
  mtl config check mine.yaml trainer.epochs=50
  mtl config schema > mtl.schema.json
      and in VS Code, with the YAML extension, as a file's first line
      # yaml-language-server: $schema=mtl.schema.json
  mtl config diff outputs/one outputs/two

flags:
  --config-dir DIR, --config-name NAME      as for mtl train
  -h, --help                                this text
"""
COMMANDS = ("show", "check", "schema", "diff")


def run(argv: list[str]) -> int:
    """Run ``mtl config`` with these arguments."""
    if "-h" in argv or "--help" in argv:
        print(HELP, end="")
        return 0
    if not argv or argv[0] not in COMMANDS:
        what, hint = ("is missing", None) if not argv else ("unknown command", did_you_mean(argv[0], COMMANDS))
        raise UserError(argv[0] if argv else "COMMAND", what, hint or "mtl config show KEY=VALUE…")
    return {"show": show, "check": check, "schema": schema, "diff": diff}[argv[0]](argv[1:])


def show(argv: list[str]) -> int:
    """Print a config."""
    from mtl_cli.cli.words import read_words
    from mtl_cli.config.check import check_words
    from mtl_cli.config.yaml_text import to_yaml

    words = read_words(argv)
    if words.multirun:
        raise UserError("-m", "is for mtl train", "mtl config show prints one config")
    assembled = check_words(words.overrides, words.assembler(), words.problems)
    for note in assembled.notes:
        notice(note)
    print(to_yaml(assembled.plain), end="")
    return 0


def check(argv: list[str]) -> int:
    """Print every problem of a config, where it is, and return 2 if there is one."""
    from mtl_cli.cli.words import read_words
    from mtl_cli.config.check import check_runs

    style, rest = take_format(argv)
    words = read_words(rest)
    if words.multirun:
        raise UserError("-m", "is for mtl train", "mtl config check looks at one config")
    try:
        checked = check_runs([words.overrides], words.assembler(), words.problems)
    except UserError as error:
        rows = [_placed(problem, words.primary, words.overrides) for problem in error.problems]
        if style is None:
            for row in rows:
                place = f"{row['file']}:{row['line']}: " if row["line"] else ""
                print(f"{place}{Problem(str(row['key']), str(row['what']), str(row['hint'] or '') or None)}")
        else:
            _print(rows, style)
        notice("1 problem" if len(rows) == 1 else f"{len(rows)} problems")
        return 2
    for note in checked[0].assembled.notes:
        notice(note)
    if style is not None:
        _print([], style)
    notice("no problem found, without reading the data")
    return 0


def _placed(problem: Problem, file: object, overrides: list[str]) -> dict[str, object]:
    """Return a problem with the place of its key: in the words, else in the file."""
    from pathlib import Path

    from mtl_cli.config.places import line_of, lines_of

    row: dict[str, object] = {"file": None, "line": None, "key": problem.where, "what": problem.what}
    row["hint"] = problem.hint
    said = any(word.partition("=")[0].lstrip("+~") == problem.where for word in overrides)
    if not isinstance(file, Path) or said or problem.where.startswith(str(file)):  # which says where itself
        return row
    line = line_of(problem.where, lines_of(file))
    return row if line is None else {**row, "file": str(file), "line": line}


def schema(argv: list[str]) -> int:
    """Print the JSON Schema of configs."""
    if argv:
        raise UserError(argv[0], "is one word too many", "mtl config schema > mtl.schema.json")
    import json

    from mtl_cli.config.json_schema import config_schema

    print(json.dumps(config_schema(), indent=1, ensure_ascii=False))
    return 0


def diff(argv: list[str]) -> int:
    """Print the settings in which two configs differ."""
    from mtl_cli.config.differences import config_of, differences
    from mtl_cli.reports.rows import chosen

    parser = Parser("mtl config diff", usage="mtl config diff RUN RUN [--format table|csv|json|md]")
    parser.add_argument("one", metavar="RUN", help="the folder of a run, or a YAML file")
    parser.add_argument("other", metavar="RUN")
    add_format(parser)
    arguments = parser.parse_args(argv)
    found = differences(config_of(arguments.one), config_of(arguments.other))
    if not found:
        notice("they have the same settings")
    first, second = arguments.one, arguments.other
    second = f"{second} " if second == first else second  # two columns are to have two names
    rows: list[dict[str, object]] = [{"key": key, first: _text(a), second: _text(b)} for key, a, b in found]
    _print(rows, chosen(arguments.format))
    return 0


def _print(rows: list[dict[str, object]], style: str) -> None:
    from mtl_cli.reports.rows import rendered

    print(rendered(rows, style), end="")


def _text(value: object) -> object:
    import json

    if value is None:
        return "null"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
