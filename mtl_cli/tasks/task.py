"""What every kind of task is to the rest of the program.

A kind is two classes in one file of ``tasks/kinds``: its config (a dataclass, the YAML keys), whose ``fit`` looks at
the labels and whose ``restore`` reads a model file, and what both return: a ``Task``, which owns the target, the loss,
the way back to user units and the metrics.
"""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

import numpy as np

from mtl_cli.config.convert import Bound, NonNegativeFloat
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import components
from mtl_cli.tasks.answer_columns import (
    CLASS_PROBABILITY,
    HIGH,
    LABEL_SPREAD,
    LOW,
    PREDICTION,
    PROBABILITY,
    SET,
    SPREAD,
    AnswerColumn,
)
from mtl_cli.tasks.links import Link, mean_output
from mtl_cli.tasks.post_hoc import PostHoc
from mtl_cli.tasks.schedule import WeightSchedule

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from mtl_cli.tasks.thresholds import Goal

Label = str | int | float | bool
Share = Annotated[float, Bound(above=0, below=1)]
LabelUse = Literal["class", "number", "bounds"]
"""What a label column is read for: classes; numbers; or numbers of which some are known only from bounds, as `<5`."""
Level = Literal["row", "token"]
"""What has a label of its own: a row, or each token of a row that is a sequence."""


@dataclass(frozen=True, kw_only=True)
class TaskConfig(ABC):
    """The keys that every kind of task has.

    Parameters
    ----------
    target : str or list of str, optional
        The column that holds the labels; by default the task's own name.
    dataset : str, optional
        Where several data sets are joined, the one whose rows the task labels.
    weight : float
        Multiplies this task's loss, before any balancer sees it.
    weight_schedule : WeightSchedule, optional
        How the weight changes over the epochs.
    weight_column : str, optional
        The column that says how much each row counts in this task's training loss, beside ``dataset.weight``; no
        feature. It may be empty where there is no label.
    auxiliary : bool
        Train this task, but leave it out of the score.
    calibrate : {"none", "temperature", "isotonic"}
        How probabilities are calibrated, on the rows that the model was not trained on.
    threshold : float, "f1" or "balanced", optional
        The probability from which on a label is predicted, or what it is chosen for on those rows; a half if None.
    interval : float, optional
        The share of labels that the interval or set around each prediction is to hold, by those rows.
    """

    target: str | list[str] | None = None
    dataset: str | None = None
    weight: NonNegativeFloat = 1.0
    weight_schedule: WeightSchedule | None = None
    weight_column: str | None = None
    auxiliary: bool = False
    calibrate: Literal["none", "temperature", "isotonic"] = "none"
    threshold: Literal["f1", "balanced"] | Share | None = None
    interval: Share | None = None

    level: ClassVar[Level] = "row"
    token_inputs: ClassVar[tuple[str, ...]] = ()
    """Which kinds of inputs the tokens are of that it labels, as data sets name them; () for any whose rows differ in
    length."""
    several_columns: ClassVar[bool] = False
    """Whether ``target`` may be a list."""
    post_hoc_keys: ClassVar[tuple[str, ...]] = ()
    """Which of ``calibrate``, ``threshold`` and ``interval`` the kind has."""

    @property
    def loss_name(self) -> str | None:
        """Which loss is chosen, for kinds that have several."""
        return None

    @property
    def labels_as_text(self) -> bool:
        """Whether a text file's labels are to be read as they are written, not as numbers."""
        return True

    def label_uses(self, name: str) -> dict[str, LabelUse]:
        """Return what each label column of the task called ``name`` is read for; all for the same by default."""
        use: LabelUse = "class" if self.labels_as_text else "number"
        return dict.fromkeys(self.columns(name), use)

    @property
    def named_labels(self) -> set[str]:
        """The labels that these keys name: they are labels, whatever else they may mean in other tables."""
        return set()

    @property
    def post_hoc_asked(self) -> dict[str, Any]:
        """The steps behind the outputs that are asked for, by key."""
        asked = {"calibrate": self.calibrate, "threshold": self.threshold, "interval": self.interval}
        return {key: value for key, value in asked.items() if value not in (None, "none")}

    @property
    def post_hoc_fitted(self) -> dict[str, Any]:
        """Those of them that are fitted to labelled rows, which a threshold that is given is not."""
        given = self.post_hoc_asked
        return {key: value for key, value in given.items() if key != "threshold" or isinstance(value, str)}

    def further_columns(self, name: str) -> list[str]:
        """Return columns that the task called ``name`` may write beside its prediction, which no other may write."""
        return [kind.named(name) for kind in (LOW, HIGH, SET)] if self.interval is not None else []

    def weight_at(self, epoch: int) -> float:
        """Return the task's weight in an epoch, from 1."""
        return self.weight if self.weight_schedule is None else self.weight_schedule.at(self.weight, epoch)

    def columns(self, name: str) -> list[str]:
        """Return the label columns of the task called ``name``."""
        target = self.target if self.target is not None else name
        return target if isinstance(target, list) else [target]

    def check(self, name: str) -> Iterator[Problem]:
        """Yield what is wrong with these keys of the task called ``name``."""
        yield from ()

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        """Read the labels in the user's own terms, missing where there are none. Nothing is fitted: a split asks first.

        By default they are the label column as it is; a kind that maps or checks labels does so here too.
        """
        return table[self.columns(name)[0]]

    def strata(self, name: str, table: pd.DataFrame) -> pd.Series:
        """Return what a stratified split spreads evenly: numbers (floats), classes, or a frozenset of labels a row.

        By default what ``labels`` returns.
        """
        return self.labels(name, table)

    @abstractmethod
    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> Task:
        """Fit to the rows ``train`` of ``table``. Raises UserError if their labels are none to learn from."""

    @staticmethod
    @abstractmethod
    def restore(state: dict[str, Any]) -> Task:
        """Rebuild the task from its saved ``state``."""


@dataclass(frozen=True)
class Target:
    """Encoded labels.

    Parameters
    ----------
    values : ndarray of shape (n,) or (n, labels)
        Zero where there is no label.
    mask : ndarray of bool, shape (n,)
        Whether there is a label.
    weights : ndarray of shape (n,), float32, optional
        How many labels a row stands for, where that is not one: the row's loss is their mean.
    """

    values: np.ndarray
    mask: np.ndarray
    weights: np.ndarray | None = None

    def as_columns(self) -> np.ndarray:
        """Return the labels as numbers, shape (n, columns): a column per class of classes, nan where there is none."""
        found = self.values
        if found.ndim == 1 and np.issubdtype(found.dtype, np.integer):
            found = found[:, None] == np.unique(found[self.mask])
        columns = found.reshape(len(found), -1).astype("float64")
        columns[~self.mask] = np.nan
        return columns


@dataclass(frozen=True)
class Decided:
    """The classes that a step behind the model chose for n rows, such as a hierarchy or a vote among neighbours.

    What is written and what is measured are made of the same one of these.

    Parameters
    ----------
    classes : ndarray of int, shape (n,)
        The number of each row's class; of a multilabel task which labels it has, bool of shape (n, labels).
    confidence : ndarray of the same shape
        The probability that is stated of it; of a binary or multilabel task that of the positive label or of each.
    """

    classes: np.ndarray
    confidence: np.ndarray

    def select(self, rows: np.ndarray) -> Decided:
        """Return the same of some rows (numbers, or bool)."""
        return Decided(self.classes[rows], self.confidence[rows])


class Learnt(Protocol):
    """What a training step needs of a task; ``Task`` is one."""

    @property
    def weight(self) -> float:
        """The task's own weight."""

    @property
    def level(self) -> Level:
        """What has a label."""

    @property
    def couples(self) -> bool:
        """Whether a row's loss depends on the other rows of its batch."""

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss per row, shape (n,)."""

    def batch_loss(
        self, output: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the losses of a batch's rows, (n,), and how much each counts in their mean, (n,)."""


@dataclass
class Task(ABC):
    """A task that has been fitted to the labels of the training rows.

    Parameters
    ----------
    name : str
    columns : list of str
        Of the labels.
    weight : float
    auxiliary : bool
    unseen : list
        Classes that do not occur in the training rows.
    post_hoc : PostHoc
        The steps behind its outputs, which are fitted when the model has been trained.
    """

    name: str
    columns: list[str]
    weight: float
    auxiliary: bool
    unseen: list[Label] = field(default_factory=list, kw_only=True)
    post_hoc: PostHoc = field(default_factory=PostHoc, kw_only=True)

    kind: ClassVar[str]
    """The name under which its config is registered."""
    primary: ClassVar[str]
    """The metric shown first and kept per epoch."""
    level: ClassVar[Level] = "row"
    token_name: ClassVar[str] = "tokens"
    """What has a label where not rows have one, in the plural; and the metric that counts them."""
    pictures: ClassVar[tuple[str, ...]] = ()
    """Which of ``scatter``, ``confusion``, ``label_confusion`` and ``calibration`` show this kind's predictions."""
    stated: ClassVar[tuple[str, str]] = ("predicted probability", "observed frequency")
    """What ``confidence`` returns, in words."""
    learns: ClassVar[Literal["number", "class", "labels"] | None] = None
    """What a model of another making, such as scikit-learn's, has to learn of a row: a number, one class, or whether it
    has each of several labels. A kind that such models can learn has ``output_of``."""
    one_class: ClassVar[bool] = False
    """Whether a row has one of several classes, which steps behind the model may choose in the model's place: such a
    kind has ``decode_as`` and ``metrics_as``."""
    can_abstain: ClassVar[bool] = False
    """Whether a row has one answer with a probability, below which it can be `unknown`: such a kind has ``answer``."""
    link: ClassVar[Link | None] = None
    """How its outputs become probabilities, for kinds that can be calibrated."""
    explained_as: ClassVar[str | None] = None
    """What attributions explain of a row, such as its risk, for kinds that have ``explained``; None: one output."""
    ordered: ClassVar[bool] = False
    """Whether its classes have an order of their own, which is that of ``classes``."""

    @property
    def couples(self) -> bool:
        """Whether a row's loss depends on the other rows of its batch too, as Cox's partial likelihood does.

        Such a kind has ``batch_loss``; its loss on some rows is exact among these rows.
        """
        return False

    @property
    def linear(self) -> bool:
        """Whether what a linear model makes of a row can be its outputs: encoded numbers, or logits of classes."""
        return False

    @property
    @abstractmethod
    def outputs(self) -> int:
        """The width of the head's output."""

    @property
    def number_of_classes(self) -> int:
        """Of a kind that ``learns`` a class, how many there are."""
        return max(2, self.outputs)

    @property
    @abstractmethod
    def baseline(self) -> np.ndarray:
        """The best constant output on the training rows, shape (outputs,)."""

    @property
    def class_labels(self) -> list[Label]:
        """Its classes or labels as the user knows them, in the order of their numbers; none of a kind without."""
        return []

    def answer_columns(self) -> list[AnswerColumn]:
        """Return the columns that its answers may have: an answer has some of them, and may have them in any order.

        A kind of task whose answers have others adds these.
        """
        several = [kind.column(self.name, of) for kind in (CLASS_PROBABILITY, LABEL_SPREAD) for of in self.class_labels]
        each = (PREDICTION, PROBABILITY, LOW, HIGH, SET, SPREAD)
        return [*(kind.column(self.name) for kind in each), *several]

    @property
    def squared_error(self) -> bool:
        """Whether its loss is a squared error; other losses are taken for −log p of a label."""
        return False

    @property
    def log_axes(self) -> bool:
        """Whether its labels are to be shown on logarithmic axes."""
        return False

    @abstractmethod
    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return the labels in the user's own terms, missing where there are none."""

    def known_labels(self, table: pd.DataFrame) -> tuple[pd.Series, dict[str, int]]:
        """Return the labels of new rows, missing where they are none that the task was fitted for.

        Returns
        -------
        labels : Series
        unknown : dict of str to int
            How often each label came that was left out.
        """
        return self.labels(table), {}

    def strata(self, labels: pd.Series) -> pd.Series:
        """Return labels as ``TaskConfig.strata`` does: numbers (floats), classes, or a frozenset of labels a row."""
        return labels

    def split(self, text: str) -> Sequence[str]:
        """Return the labels of a row's tokens, for kinds of which each token has one."""
        raise NotImplementedError(f"{self.kind} labels rows")

    @abstractmethod
    def encode(self, labels: pd.Series) -> Target:
        """Turn labels into what the loss takes. Raises UserError for a label it was not fitted for."""

    @abstractmethod
    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss per row, shape (n,)."""

    def batch_loss(
        self, output: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the losses of a batch's rows, (n,), and how much each counts in their mean, (n,).

        By default ``loss``, and ``counts`` as they are.

        Parameters
        ----------
        output, target : Tensor of shape (n, ...)
        counts : Tensor of shape (n,), optional
            Each row's weight, 0 where it has no label; None says 1 for all.
        """
        return self.loss(output, target), counts

    def same_loss(self, other: Task) -> bool:
        """Whether ``loss`` is the same for this task fitted to other rows; by default if all that was fitted is."""
        return self.state() == other.state()

    def merge(self, outputs: torch.Tensor) -> torch.Tensor:
        """Make one output of those of an ensemble's members, (n, members, outputs) to (n, outputs); their mean."""
        return mean_output(outputs)

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        """Make one output of those of a run's members, (n, members, outputs) to (n, outputs).

        Decoded, it is the mean of their predictions: of probabilities, or of numbers in label units.
        """
        return self.merge(outputs)

    def in_own_units(self, output: np.ndarray, fitted: Task) -> np.ndarray:
        """Return a model's outputs for ``fitted``, this task fitted to other rows, as outputs for this one.

        By default they are the same. A kind that fits the units of its outputs, such as a mean and a deviation of the
        labels, has to convert them.
        """
        return output

    def calibrated(self, output: np.ndarray) -> np.ndarray:
        """Return outputs after the calibration that was fitted, if any was."""
        recalibration = self.post_hoc.recalibration
        if recalibration is None:
            return output
        assert self.link is not None
        return recalibration(output, self.link)

    def fit_post_hoc(self, output: np.ndarray, values: np.ndarray) -> PostHoc:
        """Fit the steps that the kind's predictions need by themselves, to rows with a label; by default none.

        Its config names them in ``post_hoc_asked``.
        """
        return PostHoc()

    def find_thresholds(self, output: np.ndarray, values: np.ndarray, asked: Goal | float) -> list[float]:
        """Return the threshold of each label, as given or the best on rows that have labels."""
        raise NotImplementedError(f"{self.kind} has no threshold")

    def over_threshold(self, output: np.ndarray) -> Decided | None:
        """Return what is decided by the thresholds that were found; None if there are none."""
        return None

    def nonconformity(self, output: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return how far labels are from what the outputs say, (n,), in the units of ``Conformal.radius``."""
        raise NotImplementedError(f"{self.kind} has no intervals")

    def interval_columns(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the columns of the interval, or set, of each row; none if none was fitted."""
        return {}

    def interval_size(self, output: np.ndarray) -> dict[str, float]:
        """Return the mean size of the intervals or sets, by the metric's name."""
        return {}

    def interval_metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return ``coverage``, the share of labels inside, and the mean size; nothing if no interval was fitted."""
        if self.post_hoc.conformal is None:
            return {}
        inside = self.nonconformity(output, values) <= self.post_hoc.conformal.radius
        return {"coverage": float(inside.mean()), **self.interval_size(output)}

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return how far a run's members are apart, by column: the deviation over the first axis.

        Parameters
        ----------
        outputs : ndarray of shape (members, n, ...)

        Returns
        -------
        dict
            By default ``<task>_spread``, of the column ``predicted_<task>_prob``, or ``predicted_<task>`` if there is
            none such and it is of numbers.
        """
        decoded = [self.decode(output) for output in outputs]
        column = PROBABILITY.named(self.name)
        column = column if column in decoded[0] else PREDICTION.named(self.name)
        if not np.issubdtype(decoded[0][column].dtype, np.number):
            return {}
        return {SPREAD.named(self.name): np.std([found[column] for found in decoded], axis=0, ddof=1)}

    @abstractmethod
    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return prediction columns in user units, by column name."""

    @abstractmethod
    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return the metrics of rows that have a label."""

    @property
    def compared(self) -> str:
        """The metric by which two models are compared."""
        return self.primary

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return the metric ``compared`` of many resamples of n rows that have a label, for intervals by the bootstrap.

        Parameters
        ----------
        output, values : ndarray of shape (n, ...)
        counts : ndarray of int, shape (resamples, n)
            How often a resample holds each row.

        Returns
        -------
        ndarray of shape (resamples,)
        """
        rows = [np.repeat(np.arange(len(values)), held) for held in counts]
        return np.array([self.all_metrics(output[chosen], values[chosen])[self.compared] for chosen in rows])

    def output_of(self, predicted: np.ndarray) -> np.ndarray:
        """Return the outputs that say what a model of another making predicts, shape (n, outputs).

        Parameters
        ----------
        predicted : ndarray
            Encoded numbers, (n,); or the probability of each class, (n, classes); or of each label, (n, labels).
        """
        raise NotImplementedError(f"{self.kind} is learnt by no other models")

    def label_weights(self, values: np.ndarray) -> np.ndarray | None:
        """Return how much each encoded label counts in the loss, of the shape of ``values``; None if all alike."""
        return None

    @abstractmethod
    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the primary metric as a tensor, cheaply, for the history."""

    def decode_as(self, output: np.ndarray, decided: Decided) -> dict[str, np.ndarray]:
        """Return what ``decode`` does, with the classes that another step chose."""
        raise NotImplementedError(f"{self.kind} has no single class per row")

    def metrics_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> dict[str, float]:
        """Return the metrics of those classes; what is measured of probabilities is the model's own."""
        raise NotImplementedError(f"{self.kind} has no single class per row")

    def by_class(
        self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None
    ) -> dict[str, dict[str, float]]:
        """Return rows, recall and precision of each class, by its name; nothing for a kind without classes."""
        return {}

    def probabilities(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the probability of every class, (n,) each, by column name; nothing where they are not columns."""
        return {}

    def confidence(self, output: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return stated probabilities and whether what they were stated of is so; for ``calibration``."""
        raise NotImplementedError(f"{self.kind} states no probabilities")

    def confidence_as(self, output: np.ndarray, values: np.ndarray, decided: Decided) -> tuple[np.ndarray, np.ndarray]:
        """Return the same of classes that another step chose."""
        return decided.confidence, decided.classes == values

    def answer(self, output: np.ndarray, decided: Decided | None = None) -> Decided:
        """Return each row's answer and the probability of it, (n,); of the classes that another step chose, if any."""
        raise NotImplementedError(f"{self.kind} has no answer that is one of several")

    def is_right(self, classes: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return which rows' answers are their encoded labels, bool of shape (n,)."""
        return np.asarray(classes == values)

    def constant_metrics(self, values: np.ndarray) -> dict[str, float]:
        """Return the metrics of the best constant prediction, on rows that have these encoded labels.

        By default those of the output ``baseline``; a kind whose predictions take more than that has its own.
        """
        shape = values.shape[: 1 if self.level == "row" else 2]
        return self.all_metrics(np.broadcast_to(self.baseline, (*shape, self.outputs)), values)

    def explained(self, output: torch.Tensor) -> torch.Tensor:
        """Return the one number of each row that attributions explain, (n,), where ``explained_as`` says what it is."""
        raise NotImplementedError(f"{self.kind} has no such number")

    def all_metrics(self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None) -> dict[str, float]:
        """Return the metrics of rows that have a label, those that plugins add behind the kind's own.

        A plugin's is a function ``(task, output, values)`` that returns a number, or None for a kind of task that it
        does not suit; one that has the name of a metric of the kind's own is passed over.
        """
        import sklearn

        with sklearn.config_context(skip_parameter_validation=True):  # a quarter of the time, and the arrays are ours
            own = self.metrics(output, values) if decided is None else self.metrics_as(output, values, decided)
        added = {name: metric(self, output, values) for name, metric in components("metric").items() if name not in own}
        return own | {name: float(value) for name, value in added.items() if value is not None}

    def state(self) -> dict[str, Any]:
        """Return what the config class's ``restore`` needs: plain numbers, strings, lists."""
        found = asdict(self)
        del found["post_hoc"]  # which is kept beside it, see ``task_states``
        return found


@functools.lru_cache(maxsize=64)
def device_tensor(values: tuple[float, ...], device: torch.device) -> torch.Tensor:
    """Return constants as a tensor that is copied to the device once, not at every step."""
    import torch

    return torch.tensor(values, device=device)
