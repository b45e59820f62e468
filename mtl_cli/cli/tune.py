"""`mtl tune`: from the words to a space that is searched."""

from __future__ import annotations

import re
import sys

from mtl_cli.cli.arguments import notice
from mtl_cli.cli.words import Words, read_words
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.overrides import OF_SEARCH
from mtl_cli.config.values import as_text

HELP = """\
usage: mtl tune [FLAG …] [CONFIG.yaml] GROUP=NAME … KEY=VALUE … KEY=DOMAIN …

Search the settings with the best score on the validation rows: the words are
those of mtl train, and a key with a domain is varied. Test rows are not looked
at. The best config is written to train: STUDY/best.yaml.

  mtl tune dataset=wine optimizer.lr='log(1e-4,1e-1)' trials=40
  mtl tune dataset=wine balancer='choice(uniform,uw,gradnorm)' \\
      model.trunk.dropout='uniform(0,0.5)' trainer.folds=5
  mtl tune dataset=wine tune=weights objective=tasks
                                  each task's weight; the front of their skills

domains (what Hydra has a word for is taken too: interval, range, choice):
  log(1e-4,1e-1)         numbers, equal ratios equally likely
  uniform(0,0.5)         numbers, equal differences equally likely
  int(1,4)               whole numbers, both ends possible; int(log(8,256))
  range(16,129,16)       16, 32, …, 128: the end is left out
  choice(a,b)            one of these; or a,b; glob(*) for all names of a group
A key that only one choice has, such as balancer.alpha beside balancer=choice(
uniform,gradnorm), is varied only there. tasks.*.weight stands for all tasks.

options:
  tune=NAME|FILE.yaml    a space from a file (mtl list spaces has some)
  trials=50              how many trials the study shall have in all
  budget='30 minutes'    or hours: after that this command begins no trial
  objective=score|tasks  the mean skill; or every task's, and their Pareto front
  pruner=median|none     stop a trial early that is below the median of others
  sampler=tpe|random     how the next trial is chosen; seed=0 repeats it
  outer=5                nested cross-validation: how good is the result
  run_dir=STUDY          the study's folder; the same command once more goes on
                         with it, also beside others that work on it
  launcher=processes n_jobs=2 cores=1 memory=4GB     as for mtl train -m, with
                         n_jobs trials at once

flags:
  --config-dir DIR, --config-name NAME   as for mtl train
  --json                                 print the JSON line on a terminal too
  -h, --help                             this text

mtl help tune says what is promised, and how loss weights are chosen.
"""
OWN = {
    **{key: list[str]() for key in OF_SEARCH},
    "objective": ["score", "tasks"], "pruner": ["median", "none"], "sampler": ["tpe", "random"],
}  # fmt: skip
"""Keys of a search, and what they may be where that is a choice."""
TRIALS = 50
UNITS = {"s": 1 / 60, "second": 1 / 60, "min": 1, "minute": 1, "h": 60, "hour": 60}
"""Minutes."""


def run(argv: list[str]) -> int:
    """Run ``mtl tune`` with these arguments."""
    if "-h" in argv or "--help" in argv:
        print(HELP, end="")
        return 0
    from mtl_cli.studies.journal import check_installed

    check_installed()
    own, rest, problems = _take(argv)
    words = read_words(["-m", *rest])
    words.problems[:0] = problems
    return _search(own, words, ["mtl", "tune", *argv])


def _search(own: dict[str, str], words: Words, command: list[str]) -> int:
    from mtl_cli.config.check import check_runs
    from mtl_cli.config.space import read_space, with_file
    from mtl_cli.io import to_json
    from mtl_cli.studies.executors import make_executor
    from mtl_cli.studies.job import make_job
    from mtl_cli.studies.nested import run_nested
    from mtl_cli.studies.search import Search
    from mtl_cli.studies.sweep import sweep_folder
    from mtl_cli.studies.tune import open_search, run_search

    numbers = _numbers(own, words.problems)
    if words.options.get("launcher") in ("ray", "slurm") and "n_jobs" not in words.options:
        what = "is needed: if all trials began at once, none could learn from another"
        words.problems.append(Problem("n_jobs", what, "n_jobs=4"))
    executor = None
    try:
        executor = make_executor(words.options)
    except UserError as error:
        words.problems += error.problems
    assembler = words.assembler()
    if words.problems:
        raise UserError.of(words.problems)
    assert executor is not None
    overrides = words.overrides if "tune" not in own else with_file(words.overrides, own["tune"], assembler.folders)
    space = read_space(overrides, assembler)
    checked = check_runs([space.fixed], assembler)[0]
    for note in checked.assembled.notes:
        notice(note)
    tasks = [name for name, task in checked.config.tasks.items() if not task.auxiliary]
    objective = own.get("objective", "score")
    if objective == "tasks" and len(tasks) < 2:
        raise UserError(
            "objective", f"there is one task that counts, {tasks[0]}: a front is of several", "leave it out"
        )
    if objective == "tasks" and own.get("pruner") == "median":
        raise UserError("pruner", "breaks off no trial that is judged by several tasks", "leave it out, or pruner=none")
    search = Search(
        space, assembler, words.start, make_job(checked, words.start), tasks, objective,
        own.get("sampler", "tpe"), own.get("pruner", "median"), numbers["trials"], numbers["budget"],
    )  # fmt: skip
    as_json = words.json or not sys.stdout.isatty()
    folder = sweep_folder([search.base], words.options.get("run_dir"))
    if numbers["outer"] is not None:
        return run_nested(search, int(numbers["outer"]), folder, command, executor, as_json)
    status, best = run_search(search, open_search(search, folder, command), executor)
    if best is not None and as_json:
        print(to_json(best), flush=True)
    return status


def _take(argv: list[str]) -> tuple[dict[str, str], list[str], list[Problem]]:
    """Take the keys of a search out of the words; return them, the other words, and what is wrong."""
    own: dict[str, str] = {}
    rest, problems = [], []
    for word in argv:
        key, equals, value = word.partition("=")
        value = as_text(value)
        if word in ("-m", "--multirun"):
            problems.append(Problem(word, "is for mtl train: a search has its own trials", "leave it out"))
        elif equals and key == "resume":
            problems.append(Problem(key, "is for mtl train", "run_dir=STUDY goes on with a study"))
        elif not equals or key not in OWN:
            rest.append(word)
        elif own.setdefault(key, value) != value:
            problems.append(Problem(key, f"is set twice, to {own[key]} and to {value}", "leave one of them out"))
        elif OWN[key] and value not in OWN[key]:
            problems.append(Problem(key, f"there is no '{value}'", did_you_mean(value, OWN[key], f"{key}=")))
    return own, rest, problems


def _numbers(own: dict[str, str], problems: list[Problem]) -> dict[str, int | None]:
    """Return the budget: trials, and minutes; and the outer folds. What is wrong is added to ``problems``."""
    found: dict[str, int | None] = {"trials": None, "budget": None, "outer": None}
    for key, least in (("trials", 1), ("outer", 3)):
        if key in own:
            text = own[key]
            if not text.isdecimal() or int(text) < least:
                problems.append(Problem(key, f"must be a whole number from {least} on, not '{text}'"))
            else:
                found[key] = int(text)
    if "budget" in own:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+?)s?", own["budget"].strip())
        if match is None or match[2] not in UNITS or float(match[1]) <= 0:
            problems.append(
                Problem("budget", f"must be a time, not '{own['budget']}'", "budget='30 minutes', or trials=50")
            )
        else:
            found["budget"] = float(match[1]) * UNITS[match[2]]  # type: ignore[assignment]
    elif found["trials"] is None:
        found["trials"] = TRIALS
    return found
