"""A trained model, from its run's folder: predicting and evaluating new tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import LONGEST, UserError, did_you_mean, shortened
from mtl_cli.config.parse import parse_trained
from mtl_cli.config.registry import components
from mtl_cli.config.schema import TrainedConfig
from mtl_cli.data.base import Examples, Notice, Part, Reader, check_usable, row_names
from mtl_cli.data.inputs import InputRows
from mtl_cli.data.reading import hinting
from mtl_cli.data.split_by import PART
from mtl_cli.data.weights import row_weights
from mtl_cli.inference.answer import Answer, Unanswered, add_levels, answer_of, predictions
from mtl_cli.inference.evaluate import answered, evaluate
from mtl_cli.inference.levels import COLUMNS
from mtl_cli.inference.members import Member, Outputs, average, outputs_of
from mtl_cli.inference.unknown import (
    WHERE,
    Kept,
    UnknownCounts,
    abstention,
    cuts_of,
    shares_of,
    told,
)
from mtl_cli.models.network import Network, build_network, shapes
from mtl_cli.models.size import counted
from mtl_cli.runs.directory import SPLITS
from mtl_cli.runs.model_file import find_model, load_model
from mtl_cli.runs.pack import is_pack
from mtl_cli.runs.strangers import NotOurs
from mtl_cli.tasks.answer_columns import PREDICTION
from mtl_cli.tasks.hierarchy import Hierarchy, Mode
from mtl_cli.tasks.post_hoc import PostHoc
from mtl_cli.tasks.selective import Cut
from mtl_cli.tasks.task import Task

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Evaluated:
    """A model measured on some rows.

    Parameters
    ----------
    report : dict
        What ``evaluate`` returns; ``unseen`` beside that of the rows that repeat none that were learnt from.
    part : Part
        The rows.
    answer : Answer
        What the model says of them.
    tasks : dict of str to Task
        Those that were measured.
    where : str
        What to call the rows.
    """

    report: dict[str, Any]
    part: Part
    answer: Answer
    tasks: dict[str, Task]
    where: str


@dataclass(frozen=True)
class TrainedModel:
    """What a run learned, and what it needs to read data like those it learned from.

    Parameters
    ----------
    path : Path
        The run's folder, or its zip.
    config : TrainedConfig
    members : list of Member
        The networks whose mean prediction is the model's.
    reader : Reader
    tasks : dict of str to Task
        Fitted to the rows that any of the members was trained on.
    kept : Kept, optional
        What it says of labelled rows that it was not trained on.
    cuts : mapping of str to Cut
        By task, what an answer's probability has to be above; empty where every row is answered.
    """

    path: Path
    config: TrainedConfig
    members: list[Member]
    reader: Reader
    tasks: dict[str, Task]
    kept: Kept | None = None
    cuts: Mapping[str, Cut] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str) -> TrainedModel:
        """Load a run's model. Raises UserError if there is none or it is damaged."""
        content = load_model(path)
        try:
            config = parse_trained(content["config"], content.get("plugins", {}))
            data = content["data"]
            tasks = _restored(data["tasks"])
            reader: Reader = config.dataset.restore(data["reader"])
            members = [_member(config, reader, tasks, member) for member in content["members"]]
            kept = Kept.restore(data["held_out"], tasks) if "held_out" in data else None
        except (OSError, MemoryError, UserError):
            raise
        except NotOurs as error:
            hint = "it was changed, or written by another version of mtl"
            raise UserError(path, f"is not what mtl wrote: it {error}", hint) from error
        except Exception as error:  # a file that was changed may lead anywhere
            what = shortened(f"{type(error).__name__}: {error}", LONGEST)
            raise UserError(path, f"is damaged, or of another version of mtl: {what}") from error
        if not all(_finite(member.network) for member in members):
            raise UserError(path, "has weights that are not finite", "its training diverged, or it was changed")
        file = find_model(path)
        return cls(file if is_pack(file) else file.parent, config, members, reader, tasks, kept)

    @property
    def network(self) -> Network:
        """The network; of several members the first one's."""
        return self.members[0].network

    def with_keys(self, given: Mapping[str, Any]) -> TrainedModel:
        """Return the same model, which reads new files with other values of some keys of its data set.

        Parameters
        ----------
        given : mapping
            Values by key, without ``dataset.`` in front, such as ``{"separator": ";"}``.

        Raises
        ------
        UserError
            For a key that says nothing of how a file is read, or a longer sequence than the model reads.
        """
        most = self.config.model.trunk.longest
        if "max_length" in given and most is not None and (given["max_length"] is None or given["max_length"] > most):
            raise UserError("dataset.max_length", f"cannot be {given['max_length']}: the model reads at most {most}")
        return replace(self, reader=self.reader.with_keys(given)) if given else self

    def with_unknown(self, shares: Sequence[str], notice: Notice, hierarchy: Mode | None = None) -> TrainedModel:
        """Return the same model, which says `unknown` of rows that it is not sure enough of.

        The cut of each task is chosen on the run's validation rows, or its out-of-fold rows; see ``find_cut``.

        Parameters
        ----------
        shares : sequence of str
            Of the answers that are given, how many are to be right: ``0.95``, or ``TASK=0.95`` for a task of its own.
        notice : callable
            Takes a line that the user should see.
        hierarchy : {"report", "enforce", "none"}, optional
            As it will be given to ``predict``.

        Raises
        ------
        UserError
            If a share is none, or there are too few such rows.
        """
        wanted = shares_of(shares, self.tasks)
        levels = self.hierarchy(hierarchy)
        if levels is not None and wanted and (taken := {PREDICTION.named(name) for name in self.tasks} & set(COLUMNS)):
            what = f"'{min(taken)}' is the column of a task, and of the finest level that is sure"
            raise UserError(WHERE, what, "--hierarchy none")
        cuts = cuts_of(wanted, self.kept, self.tasks, levels)
        for name, cut in cuts.items():
            notice(told(name, cut))
        return replace(self, cuts=cuts)

    def read(self, path: str, notice: Notice) -> Examples:
        """Read what the model is to predict or to be evaluated on."""
        with hinting(self.reader.keys):
            return self.reader.read(path, notice)

    def stream(
        self,
        path: str,
        notice: Notice,
        hierarchy: Mode | None = None,
        vote: str | None = None,
        probabilities: bool = False,
    ) -> Iterator[pd.DataFrame]:
        """Read and predict a file, some rows at a time where it can be read so; the arguments are ``predict``'s.

        What is to be said of all rows is said at the end. A vote needs all rows at once.
        """
        unanswered, unknown = Unanswered(), UnknownCounts(self.cuts)
        with hinting(self.reader.keys):
            pieces = self.reader.stream(path, notice) if vote is None else iter([self.reader.read(path, notice)])
            for examples in pieces:
                table = self._predict(examples, notice, hierarchy, vote, probabilities, unanswered)
                unknown.add(table)
                yield table
        unanswered.tell(examples.where, notice)
        if self.cuts:
            notice(unknown.line())

    def predict(
        self,
        examples: Examples,
        notice: Notice,
        hierarchy: Mode | None = None,
        vote: str | None = None,
        probabilities: bool = False,
    ) -> pd.DataFrame:
        """Return the row ids and each task's predictions, in the rows' order; labels are not needed.

        Parameters
        ----------
        examples : Examples
        notice : callable
            Takes a line that the user should see.
        hierarchy : {"report", "enforce", "none"}, optional
            In place of what the run's config says.
        vote : str, optional
            A column of the rows: those of one value take the label that most of them have.
        probabilities : bool, default False
            Whether to give the probability of every class too.

        Raises
        ------
        UserError
            If the run learned no hierarchy to enforce, or there is no such column.
        """
        unanswered = Unanswered()
        found = self._predict(examples, notice, hierarchy, vote, probabilities, unanswered)
        unanswered.tell(examples.where, notice)
        return found

    def _predict(
        self,
        examples: Examples,
        notice: Notice,
        hierarchy: Mode | None,
        vote: str | None,
        probabilities: bool,
        unanswered: Unanswered,
    ) -> pd.DataFrame:
        answer, origin = self.answer(examples, notice, hierarchy, vote), examples.origin
        unanswered.add(answer, examples.ids, examples.inputs.lengths)
        tasks = {name: task for name, task in self.tasks.items() if origin is None or origin.rows(name).any()}
        table = predictions(answer, tasks, examples.table.index, examples.inputs.lengths, origin, probabilities)
        return pd.concat([row_names(examples.ids, origin), table], axis=1)

    def answer(
        self, examples: Examples, notice: Notice, hierarchy: Mode | None = None, vote: str | None = None
    ) -> Answer:
        """Return what the model says of some rows, after every step behind it; the arguments are those of ``predict``.

        Both what is written and what is measured are made of it.
        """
        levels = self.hierarchy(hierarchy)
        if vote is not None and vote not in examples.table.columns:
            hint = did_you_mean(vote, examples.table.columns)
            raise UserError("--vote", f"{examples.where} has no column '{vote}'", hint)
        if vote is not None and not any(task.one_class for task in self.tasks.values()):
            raise UserError("--vote", "no task of the run has one of several classes per row, to be voted on")
        if vote is not None and self.cuts:
            what = "the cut is that of single rows' answers, not of those that rows of one cluster agree on"
            raise UserError(WHERE, what, "leave out --vote")
        clusters = None if vote is None else examples.table[vote]
        return answer_of(self.outputs_of_members(examples.inputs), self.tasks, levels, clusters, notice, self.cuts)

    def hierarchy(self, mode: Mode | None = None) -> Hierarchy | None:
        """Return what the run learned about levels, to be used as ``mode`` says or else as its config did."""
        levels: Hierarchy | None = self.reader.hierarchy
        if levels is not None and not self.tasks.keys() >= set(levels.levels):  # a single-task network has one of them
            levels = None
        if levels is None and mode in ("report", "enforce"):
            hint = "dataset.levels names them when a run of dataset=h5ad is made"
            raise UserError("--hierarchy", "the run learned no levels of labels", hint)
        if levels is None or mode == "none":
            return None
        return levels if mode is None else replace(levels, mode=mode)

    def outputs_of_members(self, inputs: InputRows) -> list[Outputs]:
        """Return each member's raw outputs by task.

        They are NaN in rows whose inputs are not finite: a network may well make a number of an infinite input, for
        many an activation is flat out there.
        """
        members = [outputs_of(member, inputs.to(CPU), self.tasks) for member in self.members]
        finite = inputs.finite()
        if finite is not None:
            for found in members:
                for output in found.values():
                    output[~finite] = np.nan
        return members

    def outputs(self, inputs: InputRows) -> Outputs:
        """Return each task's raw outputs, whose predictions are the mean of the members'."""
        return average(self.outputs_of_members(inputs), self.tasks)

    def evaluate(
        self,
        examples: Examples,
        notice: Notice,
        hierarchy: Mode | None = None,
        vote: str | None = None,
        weights: str | None = None,
    ) -> Evaluated:
        """Measure the model on rows with labels, in the tasks whose columns are there.

        The steps behind the model are those of ``predict``, with the same arguments. A label of a class that the run
        does not know is told, and not measured. ``weights`` is a column that says how much each row counts, in a second
        loss and skill.
        """
        answer = self.answer(examples, notice, hierarchy, vote)
        part = self.labelled(examples, notice)
        there = {name: self.tasks[name] for name in part.targets}
        return self._measure(answer, part, there, examples, notice, weights)

    def labelled(self, examples: Examples, notice: Notice) -> Part:
        """Return rows with the labels of the tasks whose columns are there. Raises UserError if there are none."""
        columns_of = {f"task {name}": task.columns for name, task in self.tasks.items()}
        check_usable(columns_of, examples.unusable, examples.where)
        there = {name: task for name, task in self.tasks.items() if set(task.columns) <= set(examples.table.columns)}
        if not there:
            columns = ", ".join(f"'{column}'" for task in self.tasks.values() for column in task.columns)
            raise UserError(examples.where, f"has no label column; the tasks' are {columns}", "mtl predict needs none")
        for name in self.tasks.keys() - there.keys():
            notice(f"{examples.where} has no labels of task {name}")
        return examples.part(there, labels=known_labels(there, examples, notice))

    def evaluate_test(
        self, notice: Notice, hierarchy: Mode | None = None, vote: str | None = None, weights: str | None = None
    ) -> Evaluated:
        """Measure the model on the run's own test rows, read again, as ``evaluate`` does.

        Raises
        ------
        UserError
            If the data are not to be read again, or are not what they were.
        """
        chosen, duplicates = self.test_rows(notice)
        answer = self.answer(chosen, notice, hierarchy, vote)
        return self._measure(answer, chosen.part(self.tasks, duplicates), self.tasks, chosen, notice, weights)

    def test_rows(self, notice: Notice) -> tuple[Examples, np.ndarray | None]:
        """Return the run's own test rows, read again, and which of them repeat rows that were learnt from.

        Raises
        ------
        UserError
            If the data are not to be read again, or are not what they were.
        """
        splits = self.path / SPLITS
        if not splits.is_file():
            raise UserError(str(self.path), "its test rows cannot be read again", "give a table to evaluate on")
        examples = self.reader.read_own(notice)
        split = _parts_of(splits, len(examples.inputs))
        test = split == "test"
        if not test.any():
            raise UserError(str(self.path), "the run has no test rows", "give a table to evaluate on")
        if examples.duplicate_groups is None:
            return examples.select(test), None
        learned = examples.duplicate_groups[(split == "train") | (split == "val")]
        return examples.select(test), np.isin(examples.duplicate_groups[test], learned)

    def _measure(
        self,
        answer: Answer,
        part: Part,
        tasks: dict[str, Task],
        examples: Examples,
        notice: Notice,
        weights: str | None,
    ) -> Evaluated:
        unanswered = Unanswered()
        unanswered.add(answer, part.ids, part.inputs.lengths)
        unanswered.tell(examples.where, notice)
        counts = None if weights is None else row_weights(examples.table, weights, "--weights", examples.where)
        report = evaluate(answer.outputs, part, tasks, None, answer.decided, counts)
        for name, cut in self.cuts.items():
            if name in tasks and (own := _abstention(name, cut, answer, part, tasks)):
                report["tasks"][name]["unknown"] = own
        add_levels(report, answer, part)
        if part.duplicates.any():
            report["unseen"] = evaluate(answer.outputs, part, tasks, ~part.duplicates, answer.decided, counts)
        return Evaluated(report, part, answer, tasks, examples.where)


def _abstention(name: str, cut: Cut, answer: Answer, part: Part, tasks: Mapping[str, Task]) -> dict[str, Any]:
    """Return what a cut does to rows with a label and an answer; nothing if there are none."""
    output, decided, target = answer.outputs[name], answer.decided.get(name), part.targets[name]
    rows = target.mask & answered(output, part.inputs.lengths)
    if not rows.any():
        return {}
    chosen = None if decided is None else decided.select(rows)
    return abstention(cut, tasks[name], output[rows], target.values[rows], chosen)


def _parts_of(file: Path, rows: int) -> np.ndarray:
    """Return the part of each row, as ``splits.csv`` says. Raises UserError if it does not."""
    try:
        found = pd.read_csv(file, dtype=str)
    except (ValueError, OSError) as error:  # pandas' own errors are ValueErrors
        raise UserError(str(file), f"cannot be read: {error}") from error
    if PART not in found or not set(found[PART]) <= {"train", "val", "test", "dropped"}:
        raise UserError(str(file), f"has no column '{PART}' of train, val, test and dropped", "it was changed")
    if len(found) != rows:
        raise UserError(
            str(file), f"has {len(found):,} rows, and the data have {rows:,}", "give a table to evaluate on"
        )
    return found[PART].to_numpy()


SLACK, ROOM = 3, 2**20
"""How many times the bytes of the weights a network may have while it is built, and how many more: a pretrained one
drops parts of itself, and LoRA puts layers around others.
"""


def _member(config: TrainedConfig, reader: Reader, tasks: Mapping[str, Task], saved: Mapping[str, Any]) -> Member:
    """Return a network with its weights; none is built that has far more of them than there are."""
    weights = saved["weights"]
    there = sum(weight.numel() * weight.element_size() for weight in weights.values())

    def check(size: int) -> None:
        if size > SLACK * there + ROOM:
            raise ValueError("the config is of a larger network than the weights")

    with counted(check):
        network = build_network(config.model, reader.spec, shapes(tasks))
    network.load_state_dict(weights)
    return Member(network.eval(), _restored(saved["tasks"]))


def _finite(network: Network) -> bool:
    """Whether a network's parameters are finite, and its other numbers too, or infinite on purpose."""
    return all(bool(parameter.isfinite().all()) for parameter in network.parameters()) and not any(
        bool(buffer.isnan().any()) for buffer in network.buffers()
    )


def _restored(saved: list[dict[str, Any]]) -> dict[str, Task]:
    """Return tasks by name, as a model file keeps them."""
    kinds = components("task")
    tasks: list[Task] = [kinds[entry["kind"]].restore(entry["state"]) for entry in saved]
    steps = [PostHoc.restore(entry.get("post_hoc", {})) for entry in saved]
    return {task.name: replace(task, post_hoc=own) for task, own in zip(tasks, steps, strict=True)}


def known_labels(tasks: Mapping[str, Task], examples: Examples, notice: Notice) -> dict[str, pd.Series]:
    """Return the labels of new rows by task, missing where a run does not know their class; those are told."""
    found = {}
    for name, task in tasks.items():
        found[name], unknown = task.known_labels(examples.table)
        if unknown:
            most = sorted(unknown, key=lambda label: -unknown[label])
            shown = ", ".join(f"'{label}' ({unknown[label]})" for label in most[:5]) + (", …" if len(most) > 5 else "")
            count, of = sum(unknown.values()), "of no class that the run knows"
            what = (
                f"1 label of task {name} is {of}, and is"
                if count == 1
                else f"{count} labels of task {name} are {of}, and are"
            )
            notice(f"{examples.where}: {what} not measured: {shown}")
    return found
