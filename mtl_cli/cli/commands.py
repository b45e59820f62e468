"""The commands, `mtl NAME …`: functions ``(argv) -> exit status`` whose docstring's first line is their help.

Ours are modules of this package with a ``run``, imported when they are called. A plugin registers a function as
``@component("command", NAME)``.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

from mtl_cli.config.registry import component, components

Command = Callable[[list[str]], int]

OURS = {
    "train": "train a model, or with -m a sweep of models",
    "predict": "predict new rows with a trained model",
    "evaluate": "measure a trained model on its test rows or on a table",
    "explain": "which features a task needs, and what tasks share: mtl explain RUN",
    "tune": "search the settings with the best score on the validation rows",
    "compare": "compare runs: means, intervals, and whether differences are real",
    "benchmark": "run a benchmark with a written protocol: mtl benchmark balancers",
    "init": "write a YAML file, guessed from a data set: mtl init houses.csv",
    "inspect": "look at a data set, or at a trained model: mtl inspect RUN",
    "report": "one HTML file about a run or a study: mtl report RUN -o run.html",
    "card": "a model card in Markdown, filled from a run: mtl card RUN",
    "pack": "make one zip of a run, which predict takes too: mtl pack RUN",
    "export": "write a model for another system: mtl export RUN --format onnx",
    "serve": "a server that predicts rows, with a page to try it: mtl serve RUN",
    "config": "print, check or compare configs: mtl config show dataset=wine",
    "data": "download a data set: mtl data fetch mnist_fashion",
    "list": "show what there is to choose from: balancers, data sets, tasks, …",
    "help": "the manual: mtl help lists its topics, mtl help balancers shows one",
}
"""Our commands and their help; each is the module of that name."""


def commands() -> dict[str, Command]:
    """Return all commands by name: ours, and in alphabetical order what plugins add."""
    found = components("command")
    return {name: found[name] for name in dict.fromkeys((*OURS, *found))}


def find(name: str) -> Command | None:
    """Return a command, or None. Plugins are not imported for one of ours."""
    return _ours(name) if name in OURS else components("command").get(name)


def help_of(command: Command) -> str:
    """Return the first line of a command's docstring."""
    return (command.__doc__ or "").strip().partition("\n")[0]


def _ours(name: str) -> Command:
    def command(argv: list[str]) -> int:
        status: int = importlib.import_module(f"mtl_cli.cli.{name}").run(argv)
        return status

    command.__doc__, command.__qualname__ = OURS[name], name
    return command


for _name in OURS:
    component("command", _name)(_ours(_name))
