"""The keys of a run's config that do not depend on which components were chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from mtl_cli.config.convert import (
    Bound,
    Component,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
)
from mtl_cli.config.registry import components

PrecisionName = Literal["float32", "bfloat16", "float16"]
BASELINES = ("ridge", "forest", "extra_trees", "boosting")
"""What ``trainer.baselines`` may list."""
FAMILY_BASELINE = "ridge"
"""The one of these for families of sequences: of their differences the others would need a table, mostly empty."""
Activation = Literal["relu", "gelu", "silu", "tanh", "leaky_relu", "identity"]


@dataclass(frozen=True)
class Head:
    """The layers between the trunk and one task's output."""

    hidden: list[PositiveInt] = field(default_factory=list)
    activation: Activation = "relu"
    dropout: Probability = 0.0


def _hard() -> Any:
    return components("sharing")["hard"]()


@dataclass(frozen=True)
class Adapter:
    """The layer that brings one of several joined data sets' features to the width that the trunk reads."""

    width: PositiveInt = 64
    activation: Activation = "relu"


@dataclass(frozen=True)
class Model:
    """The network: a trunk, how the tasks share it, and a head per task.

    Parameters
    ----------
    linear : {"auto", "none"}
        ``auto``: of texts, and of variants of one sequence, a linear model of each task beside the network.
    """

    trunk: Annotated[Any, Component("trunk")]
    sharing: Annotated[Any, Component("sharing")] = field(default_factory=_hard)
    head: Head = field(default_factory=Head)
    heads: dict[str, Head] = field(default_factory=dict)
    adapter: Adapter = field(default_factory=Adapter)
    linear: Literal["auto", "none"] = "none"


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when no better epoch has come for some time, and keep the weights of the best.

    Parameters
    ----------
    monitor : str
        What is to rise: ``score``; a task's name, for its skill; or ``TASK.METRIC``, which is to fall where less is
        better.
    patience : int or "auto"
        Epochs to wait; ``auto`` waits 30, and longer if these are less than 600 steps.
    min_delta : float
        By how much it must rise to count as better.
    smooth : int, "auto" or "none"
        Epochs that its exponential mean is taken over, of features at most 0.6 of those so far; ``auto`` is 0.3 of
        the patience where a fold is held out.
    """

    monitor: str = "score"
    patience: Literal["auto"] | PositiveInt = "auto"
    min_delta: NonNegativeFloat = 0.0
    smooth: Literal["auto", "none"] | PositiveInt = "auto"


@dataclass(frozen=True)
class Checkpoint:
    """When the state of a run is kept, from which it can be resumed.

    Parameters
    ----------
    every : str
        ``epoch``, a number of steps or minutes such as ``500 steps``, or ``none``.
    keep : bool
        Whether it stays once the run is done.
    """

    every: Literal["epoch", "none"] | str = "epoch"
    keep: bool = True


FewTimes = Annotated[int, Bound(above=0, at_most=1000)]


@dataclass(frozen=True)
class Trainer:
    """How long and in what pieces to train.

    Parameters
    ----------
    epochs : int or "auto"
        ``auto`` is 200, or as many more as make ``steps`` of them.
    folds : int, "auto" or "none"
        Members that each have another part of the rows held out; ``auto`` makes 5 where one split would leave few.
    repeats : int
        Times that the rows fall into folds anew.
    members : int
        Members of other seeds, of each fold or of the one split.
    refit : bool
        Train anew on all rows that are not test rows, as many steps as were found to be best.
    baselines : list of str, "auto" or "none"
        Models of scikit-learn to compare with, of ``BASELINES``; ``auto`` has those that cost less than the training.
    compare_single : bool
        Train each task by itself too, and say whether sharing helps it.
    """

    epochs: Literal["auto"] | PositiveInt = "auto"
    steps: PositiveInt = 3000
    folds: Literal["auto", "none"] | Annotated[int, Bound(at_least=2)] = "auto"
    repeats: FewTimes = 1
    members: FewTimes = 1
    refit: bool = False
    baselines: Literal["auto", "none"] | list[str] = "auto"
    compare_single: bool = False
    batch_size: PositiveInt | None = 64
    accumulate: PositiveInt = 1
    precision: PrecisionName = "float32"
    clip_norm: PositiveFloat | None = None
    log_balance: Literal["epoch"] | PositiveInt = "epoch"
    early_stopping: EarlyStopping | None = field(default_factory=EarlyStopping)
    checkpoint: Checkpoint = field(default_factory=Checkpoint)
    callbacks: dict[str, Annotated[Any, Component("callback")]] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainedConfig:
    """What a trained model needs of its run's config: how rows are read, what the tasks are, how the network is built.

    The other parts say how it came to be, and need not be there any more.
    """

    dataset: Annotated[Any, Component("dataset")]
    tasks: dict[str, Annotated[Any, Component("task")]]
    model: Model


@dataclass(frozen=True)
class Config(TrainedConfig):
    """A whole run."""

    balancer: Annotated[Any, Component("balancer")]
    optimizer: Annotated[Any, Component("optimizer")]
    scheduler: Annotated[Any, Component("scheduler")]
    regularizer: Annotated[Any, Component("regularizer")] | None = None
    callback: Annotated[Any, Component("callback")] | None = None
    trainer: Trainer = field(default_factory=Trainer)
    resume: str | None = None
    init_from: str | None = None
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    plots: bool | Literal["png", "svg"] = True
    run_dir: str | None = None
    license: str | None = None
