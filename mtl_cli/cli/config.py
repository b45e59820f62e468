"""`mtl config`: look at a config without training."""

from __future__ import annotations

from mtl_cli.cli.arguments import notice
from mtl_cli.config.errors import UserError, did_you_mean

HELP = """\
usage: mtl config show [CONFIG.yaml] GROUP=NAME … KEY=VALUE …

Print the full config of `mtl train` with the same words, as YAML on stdout.

examples:
  mtl config show dataset=wine balancer=gradnorm
  mtl config show dataset=my.csv tasks='{price: regression}' > mine.yaml
  mtl train mine.yaml

flags:
  --config-dir DIR, --config-name NAME      as for mtl train
  -h, --help                                this text
"""
COMMANDS = ("show",)


def run(argv: list[str]) -> int:
    """Run ``mtl config`` with these arguments."""
    if "-h" in argv or "--help" in argv:
        print(HELP, end="")
        return 0
    if not argv or argv[0] not in COMMANDS:
        what, hint = ("is missing", None) if not argv else ("unknown command", did_you_mean(argv[0], COMMANDS))
        raise UserError(argv[0] if argv else "COMMAND", what, hint or "mtl config show KEY=VALUE…")
    return show(argv[1:])


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
