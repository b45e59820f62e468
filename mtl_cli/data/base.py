"""The contracts of data: what a data set can be asked for, what it hands to training, and what reads more of the same.

A data set's config is a ``DataSource``. Its ``prepare`` returns ``Prepared``: a ``Part`` for each part of the split,
the tasks fitted to the training rows, and a ``Reader`` for files to come, which gives ``Examples``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.tasks.answer_columns import PREDICTION, PROBABILITY, SPREAD

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.config.schema import Config
    from mtl_cli.data.feature import Feature, Field
    from mtl_cli.data.folding import Folding, HeldOut
    from mtl_cli.data.inputs import InputRows, InputSpec
    from mtl_cli.data.look import FeatureLook, Look
    from mtl_cli.data.split import Split
    from mtl_cli.tasks.hierarchy import Hierarchy
    from mtl_cli.tasks.task import Target, Task, TaskConfig

Notice = Callable[[str], None]
"""Takes a line that the user should see."""


@dataclass(frozen=True, kw_only=True)
class DataSource(ABC):
    """A data set: its YAML keys as fields, and how its rows are read, split and encoded."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """How the names of its files end, if files of that ending are this kind of data set."""
    reading_keys: ClassVar[tuple[str, ...]] = ()
    """The keys that say how a file is read, such as "layer" or "genes.names": predict and evaluate take them too."""
    keeps_features: ClassVar[bool] = False
    """Whether ``prepare`` takes another run's reader, to give the features that it gives."""

    @property
    @abstractmethod
    def input_kind(self) -> str | None:
        """What kind of inputs a trunk gets: "features", "image", "sequence" …; None if the config contradicts itself.

        A plugin may name a kind of its own, which trunks then name in ``accepts``.
        """

    @property
    def fixed_shape(self) -> bool:
        """Whether all rows are tensors of one shape, which gates can read too; sequences differ in length."""
        return True

    @property
    def keeps_encoder(self) -> bool:
        """Whether ``prepare`` takes another run's reader, to encode features as that run does."""
        return False

    @property
    def file(self) -> str | None:
        """The path of the one file that the data set reads, if it is one file: it names the run."""
        return None

    @property
    def example(self) -> str:
        """What a new file to predict may be called, for `mtl predict RUN` in messages."""
        return f"new{self.suffixes[0]}" if self.suffixes else "new.csv"

    @property
    def makes_folds(self) -> bool:
        """Whether ``prepare`` takes a ``folding``, and ``Prepared`` then says which rows are held out in turn."""
        return False

    @property
    def validates(self) -> bool:
        """Whether rows are left for validation, as far as the config says."""
        return True

    @property
    def longest(self) -> int | None:
        """The most tokens that a sequence may have; None if there is no such limit, or no sequence."""
        return None

    @property
    def alphabet_known(self) -> str | None:
        """What the letters of its sequences are, "protein", "dna" or "rna", where the config says so."""
        return None

    def input_hint(self, kind: str) -> str | None:
        """Return what to give so that inputs are of a kind, "dataset.sequence=COLUMN"; None if they cannot be."""
        return None

    def shorten_hint(self, most: int) -> str | None:
        """What to give so that no sequence has more than ``most`` tokens; None if there is no key for it."""
        return None

    @property
    def has_columns(self) -> bool:
        """Whether its rows have further columns, such as one of weights."""
        return False

    @property
    def members(self) -> dict[str, DataSource]:
        """The data sets that are joined in this one, by name; empty for a data set of its own."""
        return {}

    def with_root(self, root: str) -> Self:
        """Return the same with its files in the folder ``root``, if it has files in a folder and does not say where."""
        return self

    def with_pieces(self, tokenizer: str) -> Self:
        """Return the same with texts cut into the pieces of a tokenizer, by its folder or name, if it has texts."""
        return self

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong with these keys, and between them and the rest of the config; no row is read."""
        yield from ()

    @abstractmethod
    def prepare(
        self,
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
        folding: Folding | None = None,
    ) -> Prepared:
        """Read, split and encode.

        Parameters
        ----------
        tasks : mapping
            The tasks' configs by name.
        notice : callable
            Takes a line that the user should see.
        like : Reader, optional
            Encode the features as this one does, where ``keeps_encoder`` or ``keeps_features``.
        folding : Folding, optional
            How the rows that are not test rows fall into folds, where ``makes_folds``.

        Raises
        ------
        UserError
            With all tasks' problems at once; otherwise the first one found.
        """

    def look(self, notice: Notice) -> Look | None:
        """Return the first look without any task; None if the data set has no columns to look at."""
        return None

    def label_table(self, notice: Notice) -> pd.DataFrame | None:
        """Return the columns in which labels may be, as they are read; None if the data set names its labels itself."""
        return None

    def guessed_keys(self) -> dict[str, Any]:
        """Return keys that its files ask for, where the defaults would not do."""
        return {}

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Reader:
        """Return the reader of a trained model from what ``Reader.state`` kept in its file."""


class Reader(ABC):
    """How a trained model reads data like those it was trained on. A data set makes it, and restores it."""

    @property
    @abstractmethod
    def spec(self) -> InputSpec:
        """What the network reads."""

    @property
    def hierarchy(self) -> Hierarchy | None:
        """What was learned about tasks that are levels of one another, if anything."""
        return None

    @property
    def fingerprints(self) -> dict[str, str]:
        """What tells the data that it was fitted to from others, by data set; "" is the only one."""
        return {}

    def features(self) -> list[Feature]:
        """Return what is read of a row and how it is encoded.

        By default each input is a feature of its own, and an image is one.
        """
        from mtl_cli.data.feature import Feature, image_feature

        spec = self.spec
        if spec.kind == "image":
            return [image_feature(spec.shape, spec.center, spec.scale)]
        names = spec.names or [str(number) for number in range(spec.width)]
        return [Feature(name, spec.kind, "", [number]) for number, name in enumerate(names)]

    def places(self, examples: Examples) -> list[Feature]:
        """Return the features whose importance can be asked for, in rows such as these.

        By default ``features``; parts of an image, or of a sequence, where that is one feature.
        """
        from mtl_cli.data.feature import image_parts

        return image_parts(self.spec.shape) if self.spec.kind == "image" else self.features()

    def grid(self, feature: Feature, examples: Examples, points: int) -> tuple[list[Any], np.ndarray] | None:
        """Return values of a feature that the rows have, and its inputs at each of them, for partial dependence.

        Parameters
        ----------
        feature : Feature
        examples : Examples
        points : int
            How many values at most.

        Returns
        -------
        values : list
            As the user knows them, in order.
        inputs : ndarray of shape (values, inputs of the feature)
        None
            Where a value alone is not to be set, as a pixel.
        """
        return None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of the data set that ``with_keys`` takes, without ``dataset.`` in front."""
        return ()

    def with_keys(self, given: Mapping[str, Any]) -> Reader:
        """Return the reader that reads new files with other values of some keys. Raises UserError for what is no key.

        What the keys' values are worth may show only when a file is read.
        """
        if given:
            raise UserError(f"dataset.{next(iter(given))}", "is not a key for reading these files")
        return self

    @abstractmethod
    def read(self, path: str, notice: Notice) -> Examples:
        """Read rows to predict or to evaluate on, and say in what they differ from the training rows."""

    def fields(self) -> list[Field]:
        """Return what a row is given by, where rows can be given one by one and not as files alone; else nothing."""
        return []

    def parts(self) -> dict[str, Reader]:
        """Return by data set what reads its rows alone, where several are joined; else nothing."""
        return {}

    def read_rows(self, rows: Sequence[Mapping[str, Any]], where: str, notice: Notice) -> Examples:
        """Read rows as ``read`` does, of values by ``fields``; where there are some."""
        raise NotImplementedError("these data are read from files")

    def stream(self, path: str, notice: Notice) -> Iterator[Examples]:
        """Read rows to predict, some at a time where a file of that form can be read so; by default all at once.

        In what they differ from the training rows is said at the end.
        """
        yield self.read(path, notice)

    @abstractmethod
    def read_own(self, notice: Notice) -> Examples:
        """Read all rows of the data set itself again. Raises UserError if they are not as they were."""

    @abstractmethod
    def state(self) -> dict[str, Any]:
        """Return what the data set's ``restore`` needs, as plain values."""


@dataclass(frozen=True)
class Origin:
    """Where several data sets are joined: which of them each row is of, and whose rows each task labels.

    Parameters
    ----------
    of_rows : ndarray of str, shape (n,)
    of_tasks : dict of str to str
        The data set, by task.
    """

    of_rows: np.ndarray
    of_tasks: dict[str, str]

    def rows(self, task: str) -> np.ndarray:
        """Return which rows are of a task's data set, bool of shape (n,)."""
        return np.asarray(self.of_rows == self.of_tasks[task])

    def select(self, rows: np.ndarray) -> Origin:
        """Return the same of some rows."""
        return Origin(self.of_rows[rows], self.of_tasks)


def row_names(ids: pd.Series, origin: Origin | None) -> pd.DataFrame:
    """Return the columns that say which row is which, for tables of predictions."""
    frame = ids.to_frame()
    if origin is not None:
        frame.insert(0, "dataset", origin.of_rows)
    return frame


@dataclass(frozen=True)
class Examples:
    """Rows as they were read: inputs encoded, labels as they came. n is their number.

    Parameters
    ----------
    inputs : InputRows
    table : DataFrame
        Where tasks find their label columns.
    ids : Series
        Named as the id column, or ``row``.
    where : str
        What to call them in messages.
    duplicate_groups : ndarray of int, shape (n,), optional
        The same number for rows whose inputs are the same.
    origin : Origin, optional
        Where several data sets are joined.
    unusable : mapping of str to str
        What is wrong with a column that the table lacks for it cannot be labels, by name.
    """

    inputs: InputRows
    table: pd.DataFrame
    ids: pd.Series
    where: str
    duplicate_groups: np.ndarray | None = None
    origin: Origin | None = None
    unusable: Mapping[str, str] = field(default_factory=dict)

    def select(self, rows: np.ndarray) -> Examples:
        """Return some of the rows (numbers, or bool)."""
        groups = None if self.duplicate_groups is None else self.duplicate_groups[rows]
        origin = None if self.origin is None else self.origin.select(rows)
        return Examples(
            self.inputs.select(rows), self.table.iloc[rows], self.ids.iloc[rows], self.where, groups, origin
        )

    def part(
        self,
        tasks: Mapping[str, Task],
        duplicates: np.ndarray | None = None,
        labels: Mapping[str, pd.Series] | None = None,
    ) -> Part:
        """Return the rows with the labels of ``tasks`` encoded: those of the table, or ``labels``."""
        import pandas as pd

        labels = dict(labels or {name: task.labels(self.table) for name, task in tasks.items()})
        for name, task in tasks.items():
            if task.level == "token":
                labels[name] = self.inputs.align(labels[name], self.ids, f"tasks.{name}")
        targets = {name: task.encode(labels[name]) for name, task in tasks.items()}
        duplicates = np.zeros(len(self.inputs), bool) if duplicates is None else duplicates
        frame = pd.DataFrame(labels, index=self.table.index)
        return Part(self.inputs, targets, self.ids, frame, duplicates, origin=self.origin)


def check_usable(columns: Mapping[str, list[str]], unusable: Mapping[str, str], where: str) -> None:
    """Raise UserError for each label column, by the key that asks for it, that cannot be labels."""
    problems = [
        Problem(key, f"'{name}' of {where} {unusable[name]}")
        for key in columns
        for name in columns[key]
        if name in unusable
    ]
    if problems:
        raise UserError.of(problems)


@dataclass(frozen=True)
class Part:
    """The rows of one part of a split (or of a file to evaluate on), n of them.

    Parameters
    ----------
    inputs : InputRows
    targets : dict of str to Target
        By task.
    ids : Series
        Named as the id column, or ``row``.
    labels : DataFrame
        Each task's labels in user units.
    duplicates : ndarray of bool, shape (n,)
        Whether a row has the features of a row that the model was trained or chosen on.
    weights : mapping of str to ndarray of shape (n,), float32
        How much each row counts in a task's training loss; no entry where all count alike.
    origin : Origin, optional
        Where several data sets are joined.
    """

    inputs: InputRows
    targets: dict[str, Target]
    ids: pd.Series
    labels: pd.DataFrame
    duplicates: np.ndarray
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.inputs)


@dataclass(frozen=True)
class Prepared:
    """A data set ready to train on.

    Parameters
    ----------
    tasks : dict of str to Task
        Fitted to the training rows.
    reader : Reader
        Fitted to the training rows.
    parts : dict of str to Part
        ``train``, and ``val`` and ``test`` where they have rows.
    splits : DataFrame
        The id of every row and its part.
    held_out : HeldOut, optional
        Where folds were asked for and made: which of the training rows are held out in turn.
    features : FeatureLook, optional
        What the features of a table are like, for the first look.
    about : str
        What the inputs are like where they are no table's features, for the first look.
    looks : dict of str to Look
        By data set, where several are joined.
    """

    tasks: dict[str, Task]
    reader: Reader
    parts: dict[str, Part]
    splits: pd.DataFrame
    held_out: HeldOut | None = None
    features: FeatureLook | None = None
    about: str = ""
    looks: dict[str, Look] = field(default_factory=dict)

    def look(self) -> Look:
        """Return the first look at the data."""
        import pandas as pd

        from mtl_cli.data.look import Look, look_at_target

        parts = {name: len(part) for name, part in self.parts.items()}
        labels = pd.concat([part.labels for part in self.parts.values()], ignore_index=True)
        targets = {name: look_at_target(task, labels[name]) for name, task in self.tasks.items()}
        left, spec = len(self.splits) - sum(parts.values()), self.reader.spec
        return Look(parts, left, targets, spec.kind, spec.shape, self.features, self.about, self.looks)

    def state(self) -> dict[str, Any]:
        """Return what predicting needs, as plain values."""
        return {"tasks": task_states(self.tasks), "reader": self.reader.state()}


def task_states(tasks: Mapping[str, Task]) -> list[dict[str, Any]]:
    """Return tasks as a model file keeps them."""
    return [
        {"kind": task.kind, "state": task.state(), **({"post_hoc": steps} if (steps := task.post_hoc.state()) else {})}
        for task in tasks.values()
    ]


def id_problems(name: str | None, tasks: Collection[str]) -> Iterator[Problem]:
    """Yield what is wrong with the name of the ids' column (None: rows are numbered): files would have it twice."""
    made = {kind.named(task) for task in tasks for kind in (PREDICTION, PROBABILITY, SPREAD)}
    if name in made or name in tasks:
        hint = "rename the column, or leave dataset.id out: rows are then numbered"
        yield Problem("dataset.id", f"'{name}' is the name of another column of predictions.csv", hint)
    if name is None and "row" in tasks:
        hint = "give it another name: tasks='{NAME: {kind: …, target: row}}'"
        yield Problem("tasks.row", "'row' is what the numbers of rows are called in predictions.csv", hint)
    for task in made.intersection(tasks):
        hint = f"give it another name: tasks='{{NAME: {{kind: …, target: {task}}}}}'"
        yield Problem(f"tasks.{task}", f"'{task}' is what another task's predictions are called", hint)


def encode_parts(
    split: Split, tasks: Mapping[str, Task], examples: Callable[[np.ndarray], Examples]
) -> dict[str, Part]:
    """Return the parts of a split that have rows, inputs and labels encoded.

    Parameters
    ----------
    split : Split
    tasks : mapping
        Fitted.
    examples : callable
        Returns the rows of some numbers, inputs encoded.
    """
    return {
        name: examples(rows).part(tasks, split.duplicates.get(name))
        for name, rows in split.parts().items()
        if len(rows)
    }


def fit_tasks(
    tasks: Mapping[str, TaskConfig], table: pd.DataFrame, train: np.ndarray, notice: Notice
) -> dict[str, Task]:
    """Fit every task to the rows ``train`` of a table of labels. Raises UserError with all tasks' problems."""
    fitted: dict[str, Task] = {}
    problems: list[Problem] = []
    for name, config in tasks.items():
        try:
            fitted[name] = config.fit(name, table, train)
        except UserError as error:
            problems.extend(error.problems)
    if problems:
        raise UserError.of(problems)
    for name, task in fitted.items():
        if unseen := task.unseen:
            shown = ", ".join(f"'{label}'" for label in unseen[:5]) + (", …" if len(unseen) > 5 else "")
            notice(f"tasks.{name}: no training row has the class {shown}")
    return fitted
