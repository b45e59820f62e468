"""Fitting the steps behind a trained model's outputs: on out-of-fold rows if there are folds, else on validation rows.

The model has not learned from these rows, but its epoch was chosen by them. Out-of-fold outputs are those of single
members: the mean of all is a little closer to new labels, so that intervals are rather too wide than too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.data.base import Part
from mtl_cli.inference.cross_validation import out_of_fold
from mtl_cli.inference.evaluate import answered
from mtl_cli.inference.members import Outputs, average, outputs_of
from mtl_cli.inference.unknown import Kept, kept
from mtl_cli.tasks.conformal import rows_needed
from mtl_cli.tasks.post_hoc_fit import fit_post_hoc
from mtl_cli.tasks.task import Task, TaskConfig
from mtl_cli.training.build import Ready
from mtl_cli.training.held_out import outputs_of_held_out
from mtl_cli.training.members import Trained


def check_rows(ready: Ready) -> None:
    """Raise UserError if a step cannot be fitted: no row that the model is not trained on has a label, or too few."""
    part, rows = _fitted_to(ready)
    problems: list[Problem] = []
    for name, task in _asking(ready).items():
        labelled = 0 if part is None else int((part.targets[name].mask & rows).sum())
        least = max(1, 0 if task.interval is None else rows_needed(task.interval))
        if labelled >= least or not task.post_hoc_fitted:
            continue
        key = next(iter(task.post_hoc_fitted)) if labelled == 0 or task.interval is None else "interval"
        needs = "a validation row" if least == 1 else f"{least} validation rows"
        has = "there are no validation rows" if part is None else f"{labelled or 'none'} of them has one"
        if labelled > 1:
            has = f"{labelled} of them have one"
        hint = "a larger dataset.split.val, or trainer.folds=5"
        problems.append(Problem(f"tasks.{name}.{key}", f"needs {needs} with a label, and {has}", hint))
    if problems:
        raise UserError.of(problems)


def fit_steps(
    ready: Ready, model: Sequence[Trained], trained: Sequence[Trained]
) -> tuple[dict[str, Task], Kept | None]:
    """Return the tasks with the steps behind the model that their configs ask for, and what the model file keeps.

    That is what the model says of the rows that such steps are fitted to: a step that is asked for only when new rows
    are predicted needs it.

    Parameters
    ----------
    ready : Ready
    model : sequence of Trained
        The members whose mean the model predicts.
    trained : sequence of Trained
        Those that rows were held out of.
    """
    tasks, asking = ready.data.tasks, _asking(ready)
    if not asking and not any(task.can_abstain for task in tasks.values()):
        return tasks, None
    part, rows = _fitted_to(ready)
    found = _outputs(ready, model, trained, part)
    fitted = dict(tasks)
    for name, config in asking.items():
        task = tasks[name]
        if part is None:  # a threshold that is given needs none
            output, values = np.zeros((0, task.outputs), "float32"), np.zeros(0)
        else:
            target = part.targets[name]
            chosen = rows & target.mask & answered(found[name], part.inputs.lengths)
            output, values = found[name][chosen], target.values[chosen]
        if config.post_hoc_fitted and not len(output):
            raise UserError(f"tasks.{name}", "no validation row has an answer of the model that is finite")
        steps = fit_post_hoc(config, task, output, values)
        if steps.conformal is not None and math.isinf(steps.conformal.radius):
            ready.progress.notice(f"tasks.{name}.interval: too few answers are finite: every label is inside")
        fitted[name] = replace(task, post_hoc=steps)
    return fitted if asking else tasks, None if part is None else kept(found, part.targets, rows, tasks)


def _asking(ready: Ready) -> dict[str, TaskConfig]:
    """Return the configs of the tasks that ask for steps."""
    configs: Mapping[str, TaskConfig] = ready.config.tasks
    return {name: configs[name] for name in ready.data.tasks if configs[name].post_hoc_asked}


def _fitted_to(ready: Ready) -> tuple[Part | None, np.ndarray]:
    """Return a part and which of its rows, bool, the model is not trained on; None if there are no such rows."""
    held, parts = ready.data.held_out, ready.data.parts
    if held is not None:
        return parts["train"], held.numbers[0] >= 0
    part = parts.get("val")
    return part, np.ones(0 if part is None else len(part), bool)


def _outputs(ready: Ready, model: Sequence[Trained], trained: Sequence[Trained], part: Part | None) -> Outputs:
    tasks, held = ready.data.tasks, ready.data.held_out
    if part is None:
        return {}
    if held is not None:
        return out_of_fold(outputs_of_held_out(ready, trained), held.numbers[0] >= 0, tasks)
    inputs = part.inputs.to(ready.device)
    return average([outputs_of(one.model, inputs, tasks) for one in model], tasks)
