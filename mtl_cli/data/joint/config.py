"""What YAML says of several data sets through one trunk: `mtl train dataset=mnist_fashion model=cnn`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from mtl_cli.config.convert import Component, PositiveFloat
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.base import DataSource, Notice, Prepared, Reader
from mtl_cli.data.images.base import MissingFiles, fetch_hint
from mtl_cli.data.joint.errors import WHERE, named, told, within
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    from mtl_cli.data.folding import Folding


@component("dataset", "joint")
@dataclass(frozen=True, kw_only=True)
class Joint(DataSource):
    """Data sets that one network learns at once, each with its own rows and tasks; a task names its own by ``dataset``.

    Parameters
    ----------
    datasets : dict of str to data set
    root : str, optional
        The ``root`` of those that have one and do not give it.
    sampling : {"cycle", "proportional", "balanced", "temperature"}
        What a step takes of each, and how long an epoch is: see ``Sampling``.
    temperature : float
        Of ``sampling: temperature``.
    """

    datasets: dict[str, Annotated[DataSource, Component("dataset")]]
    root: str | None = None
    sampling: Literal["cycle", "proportional", "balanced", "temperature"] = "cycle"
    temperature: PositiveFloat = 2.0

    @property
    def input_kind(self) -> str | None:
        """What kind of inputs all of them give; None if they differ, which ``check`` reports."""
        kinds = {member.input_kind for member in self.datasets.values()}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def fixed_shape(self) -> bool:
        return all(member.fixed_shape for member in self.datasets.values())

    def with_pieces(self, tokenizer: str) -> Joint:
        return replace(self, datasets={name: member.with_pieces(tokenizer) for name, member in self.datasets.items()})

    def shorten_hint(self, most: int) -> str | None:
        return f"at most {most} tokens in each of the joined data sets"

    @property
    def members(self) -> dict[str, DataSource]:
        """The data sets, with ``root`` where it is theirs too."""
        found = {}
        for name, member in self.datasets.items():
            found[name] = member if self.root is None else member.with_root(self.root)
        return found

    @property
    def example(self) -> str:
        name, member = next(iter(self.datasets.items()))
        return f"{name}={member.example}"

    @property
    def makes_folds(self) -> bool:
        return all(member.makes_folds for member in self.datasets.values())

    @property
    def validates(self) -> bool:
        return any(member.validates for member in self.datasets.values())

    @property
    def longest(self) -> int | None:
        limits = [member.longest for member in self.datasets.values()]
        known = [limit for limit in limits if limit is not None]
        return max(known) if known and len(known) == len(limits) else None

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong between this part of the config and the others, and in each of the data sets."""
        if not self.datasets:
            yield Problem(WHERE, "names no data set", "{a: {kind: csv, path: a.csv}, b: {…}}")
            return
        names = list(self.datasets)
        tasks = {name: task for name, task in (config.tasks or {}).items() if task is not None}
        for name, task in tasks.items():
            where = f"tasks.{name}.dataset"
            if task.dataset is None:
                yield Problem(where, "needs a value: whose rows the task labels", f"choose from {', '.join(names)}")
            elif task.dataset not in names:
                yield Problem(where, f"no data set is called '{task.dataset}'", did_you_mean(task.dataset, names))
            if name == "dataset":
                yield Problem(f"tasks.{name}", "names the column of the data sets", "choose another name")
        for name, member in self.members.items():
            if isinstance(member, Joint):
                yield Problem(f"{WHERE}.{name}.kind", "joined data sets cannot be joined again")
                continue
            own = {task: made for task, made in tasks.items() if made.dataset == name}
            if not own:
                yield Problem(f"{WHERE}.{name}", "no task labels its rows", f"give one tasks.NAME.dataset={name}")
            for problem in member.check(replace(config, dataset=member, tasks=own)):
                yield within(name, problem)
        if self.input_kind is None:
            kinds = ", ".join(f"{name} {member.input_kind}" for name, member in self.datasets.items())
            what = f"give inputs of different kinds, which have no common trunk: {kinds}"
            yield Problem(WHERE, what, "join images with images, tables with tables")

    def prepare(
        self,
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
        folding: Folding | None = None,
    ) -> Prepared:
        """Read, split and encode each data set, and join them. Raises UserError too if they have no common trunk."""
        from mtl_cli.data.joint.reader import join_prepared
        from mtl_cli.data.joint.rows import Sampling

        found, missing = {}, []
        for name, member in self.members.items():
            own = {task: made for task, made in tasks.items() if made.dataset == name}
            try:
                with named(name):
                    found[name] = member.prepare(own, told(name, notice), None, *([] if folding is None else [folding]))
            except MissingFiles as error:
                missing.append(error)
        if missing:  # one command may fetch them all
            raise UserError("dataset.root", missing[0].what, fetch_hint([error.name for error in missing]))
        return join_prepared(found, list(tasks), Sampling(self.sampling, self.temperature))

    def restore(self, state: dict[str, Any]) -> Reader:
        from mtl_cli.data.inputs import InputSpec
        from mtl_cli.data.joint.reader import JointReader

        readers = {name: member.restore(state["readers"][name]) for name, member in self.members.items()}
        return JointReader(readers, InputSpec.from_state(state["spec"]), dict(state["of_tasks"]))
