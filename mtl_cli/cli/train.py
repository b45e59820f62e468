"""`mtl train`: from the words to checked configs, which are trained."""

from __future__ import annotations

import sys

from mtl_cli.cli.arguments import notice
from mtl_cli.cli.train_help import train_help
from mtl_cli.cli.words import read_words
from mtl_cli.config.check import check_runs
from mtl_cli.config.errors import UserError


def run(argv: list[str]) -> int:
    """Run ``mtl train`` with these arguments."""
    if "-h" in argv or "--help" in argv:
        print(train_help(), end="")
        return 0
    from mtl_cli.io import to_json
    from mtl_cli.studies.executors import make_executor
    from mtl_cli.studies.grid import combinations
    from mtl_cli.studies.job import make_job, train_job
    from mtl_cli.studies.study import open_study, set_apart
    from mtl_cli.studies.sweep import run_sweep, sweep_folder

    words = read_words(argv)
    assembler = words.assembler()
    runs, executor = [words.overrides], None
    if words.multirun:
        runs, problems = combinations(words.overrides, assembler.folders)
        words.problems += problems
        try:
            executor = make_executor(words.options)
        except UserError as error:
            words.problems += error.problems
    checked = check_runs(runs, assembler, words.problems)
    for note in dict.fromkeys(note for one in checked for note in one.assembled.notes):
        notice(note)
    jobs = [make_job(one, words.start) for one in checked]
    as_json = words.json or not sys.stdout.isatty()
    if executor is not None:
        folder = sweep_folder(jobs, words.options.get("run_dir"))
        return run_sweep(open_study(set_apart(jobs), folder, ["mtl", "train", *argv]), executor, as_json)
    from mtl_cli.reports.console import stderr_console

    line = train_job(jobs[0], stderr_console())
    if as_json:  # on a terminal the summary says it all
        print(to_json(line), flush=True)
    return 0
