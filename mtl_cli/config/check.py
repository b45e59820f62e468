"""Everything that can be known to be wrong before a run starts."""

from __future__ import annotations

from mtl_cli.config.compose import compose
from mtl_cli.config.errors import UserError
from mtl_cli.config.overrides import Arguments
from mtl_cli.config.parse import parse


def check_arguments(arguments: Arguments) -> None:
    """Raise every problem that can be known before a run starts.

    A single run whose arguments read well is left to the job itself, which composes its config anyhow. For a sweep,
    each value is tried once, so that the last job's typing error shows before the first job starts.
    """
    problems = list(arguments.problems)
    first = [arguments.sweeps.get(i, [override])[0] for i, override in enumerate(arguments.overrides)]
    variants = [first]
    if arguments.multirun:
        for i, values in arguments.sweeps.items():
            variants += [[*first[:i], value, *first[i + 1 :]] for value in values[1:]]
    elif not problems:
        return
    if not arguments.own_config and not arguments.inspect:
        wrong = tuple(f"{problem.where}." for problem in problems)
        if "dataset." in wrong:  # the rest is checked with another data set in its place
            variants = [["dataset=wine", *variant] for variant in variants]
            wrong += ("dataset", "tasks", "model.heads.", "balancer.weights.")
        for variant in variants:
            try:
                parse(compose([o for o in variant if not o.startswith("hydra")], arguments.config_dirs))
            except UserError as error:
                problems += [problem for problem in error.problems if not problem.where.startswith(wrong)]
    if problems:
        raise UserError.of(problems)
