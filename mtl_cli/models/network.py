"""The network: what the tasks share, and a head per task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from mtl_cli.config.schema import Head, Model
from mtl_cli.data.inputs import InputRows, Inputs, InputSpec
from mtl_cli.models.budget import largest_factor
from mtl_cli.models.entry import Adapters, build_entry
from mtl_cli.models.family_linear import FamilyInputs
from mtl_cli.models.layers import mlp_layers
from mtl_cli.models.linear import LinearInputs, LinearModels
from mtl_cli.models.sharing.hard import Hard
from mtl_cli.models.sharing.modules.shared import Shared
from mtl_cli.models.sharing.scheme import Scheme
from mtl_cli.models.size import within_memory
from mtl_cli.models.text_linear import TextInputs
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.links import mean_output
from mtl_cli.tasks.task import Level, Target, Task

Merge = Callable[[torch.Tensor], torch.Tensor]
FITTING_ROWS = 100_000


class Shape(NamedTuple):
    """What a network needs to know of a task.

    Parameters
    ----------
    outputs : int
        The width of its output.
    level : {"row", "token"}
        What it is given for.
    merge : callable
        Makes one output of those of an ensemble's members, (n, members, outputs) to (n, outputs).
    linear : bool
        Whether a linear model may have a share in its output.
    """

    outputs: int
    level: Level = "row"
    merge: Merge = mean_output
    linear: bool = False


def shapes(tasks: Mapping[str, Task]) -> dict[str, Shape]:
    """Return the shape of each task."""
    return {name: Shape(task.outputs, task.level, task.merge, task.linear) for name, task in tasks.items()}


@runtime_checkable
class FitsInputs(Protocol):
    """A layer that looks at training rows before training, and keeps what it saw as buffers."""

    def fit_inputs(self, inputs: torch.Tensor) -> None:
        """Look at inputs of training rows."""


@runtime_checkable
class FitsLabels(Protocol):
    """A layer that looks at training rows and their labels before training."""

    def fit_labels(self, inputs: torch.Tensor, labels: Sequence[np.ndarray]) -> str | None:
        """Look at rows and each task's labels, (n, columns), nan where there is none; return what is to be said."""


@runtime_checkable
class CountsInputs(Protocol):
    """A layer that counts what training rows hold before training, which it is shown in pieces."""

    def count_inputs(self, inputs: Inputs) -> None:
        """Count what some training rows hold."""


class Network(nn.Module):
    """Shared layers that give each task its representation z_t, and heads that read them.

    Parameters
    ----------
    shared : Shared
    heads : mapping of str to Module
        By task, in the tasks' order.
    merges : mapping of str to callable, optional
        By task, for an ensemble: see ``Shape``.
    entry : Adapters, optional
        Where data sets of different features are joined: what brings them to one width.
    linear : LinearModels, optional
        Models that have a share in the outputs; a training step knows nothing of them.
    """

    def __init__(
        self,
        shared: Shared,
        heads: Mapping[str, nn.Module],
        merges: Mapping[str, Merge] | None = None,
        entry: Adapters | None = None,
        linear: LinearModels | None = None,
    ) -> None:
        super().__init__()
        self.entry = entry
        self.shared = shared
        self.linear = linear
        self.heads = dict(heads)
        self.merges = dict(merges or {})
        self._heads = nn.ModuleList(heads.values())  # registered as a list: a task may be called "keys" or "a b"

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layers with a weight that every task's gradient passes through: one, one an expert, or none."""
        return self.shared.last_shared_layers

    @property
    def last_shared_layer(self) -> nn.Module | None:
        """The last shared layer, if there is exactly one."""
        layers = self.last_shared_layers
        return layers[0] if len(layers) == 1 else None

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that the gradients of two tasks or more reach."""
        return self.shared.shared_parameters()

    def penalty(self) -> torch.Tensor | None:
        """Return what the sharing scheme adds to the training loss, a scalar; None if nothing. Once after each step."""
        return self.shared.penalty()

    def stack(self) -> list[nn.Module] | None:
        """Return the modules that, one after the other, make up ``representations``; None if it is more than that."""
        return self.shared.stack() if self.entry is None else None

    def trunks(self) -> list[nn.Module]:
        """Return what was built as the config's trunk: it may be taken from another run, and be frozen."""
        return self.shared.trunks()

    @property
    def trunks_of_tasks(self) -> bool:
        """Whether each trunk is one task's own."""
        return self.shared.trunks_of_tasks

    def head_parameters(self, task: str) -> list[nn.Parameter]:
        """Return the parameters that only ``task`` uses above its representation."""
        return list(self.heads[task].parameters())

    def representations(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation each task's head reads.

        It is (n, width), or (n, length, width) for labels of tokens, or (n, members, width) of an ensemble.
        """
        representations: dict[str, torch.Tensor] = self.shared(inputs if self.entry is None else self.entry(inputs))
        return representations

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return each task's output, (n, outputs), or (n, length, outputs); an ensemble's members are merged."""
        representations = self.representations(inputs)
        found = {task: head(representations[task]) for task, head in self.heads.items()}
        if self.merges:
            found = {task: self.merges[task](output) for task, output in found.items()}
        return found if self.linear is None else self.linear.mixed(found, inputs)


def build_network(config: Model, spec: InputSpec, tasks: Mapping[str, Shape]) -> Network:
    """Build the network for inputs as ``spec`` has them and tasks of the given shapes, by name.

    Raises
    ------
    UserError
        If ``model.sharing.budget`` leaves too little for the number of tasks.
    """
    trunk: TrunkConfig = config.trunk
    if config.sharing.within_budget:
        limit = _parameters(config, trunk, Hard(), spec, tasks)
        scaled = trunk.scaled
        factor = largest_factor(lambda f: _parameters(config, scaled(f), config.sharing, spec, tasks), limit)
        trunk = scaled(factor)
    return _build(config, trunk, config.sharing, spec, tasks)


def _build(config: Model, trunk: TrunkConfig, sharing: Scheme, spec: InputSpec, tasks: Mapping[str, Shape]) -> Network:
    entry, spec = build_entry(config, replace(spec, levels=tuple({task.level: None for task in tasks.values()})))
    shared = sharing.build(trunk, spec, {name: task.level for name, task in tasks.items()})
    heads = {
        name: _build_head(config.heads.get(name, config.head), shared.width, task.outputs, trunk.linear)
        for name, task in tasks.items()
    }
    merges = {name: task.merge for name, task in tasks.items()} if trunk.ensemble else None
    return Network(shared, heads, merges, entry, _build_linear(config, trunk, spec, tasks))


def _build_linear(
    config: Model, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Shape]
) -> LinearModels | None:
    """Build the linear models; None where nothing is made for them of such inputs, or no task can have one."""
    outputs = {name: task.outputs for name, task in tasks.items() if task.linear}
    reads = None if config.linear == "none" or not outputs else _linear_inputs(trunk, spec)
    return None if reads is None else LinearModels(reads, outputs)


def _linear_inputs(trunk: TrunkConfig, spec: InputSpec) -> LinearInputs | None:
    if spec.kind == "text":
        return TextInputs(sum(part.width for part in spec.parts.values()))
    if spec.reference and not trunk.reads_both_strands:  # a row is the same then, read from either
        return FamilyInputs(spec.reference, spec.shape[0])
    return None


def _parameters(config: Model, trunk: TrunkConfig, sharing: Scheme, spec: InputSpec, tasks: Mapping[str, Shape]) -> int:
    # what is built in the end starts as if nothing had been tried
    with torch.random.fork_rng(devices=[]), within_memory():
        return sum(p.numel() for p in _build(config, trunk, sharing, spec, tasks).parameters())


def _build_head(config: Head, width: int, outputs: int, linear: Callable[[int, int], nn.Module]) -> nn.Module:
    layers, _ = mlp_layers(width, config.hidden, config.activation, dropout=config.dropout, linear=linear)
    output = linear(config.hidden[-1] if config.hidden else width, outputs)
    return nn.Sequential(*layers, output) if config.hidden else output


def fit_layers(network: nn.Module, rows: InputRows, targets: Sequence[Target] = ()) -> list[str]:
    """Show training rows to the layers that want to see some: all, or if there are very many, some spread evenly.

    Parameters
    ----------
    network : Module
    rows : InputRows
    targets : sequence of Target
        Their labels, by task.

    Returns
    -------
    list of str
        What is to be said of it.
    """
    said: list[str] = []
    fitting = [module for module in network.modules() if isinstance(module, FitsInputs)]
    if fitting:
        labelled = any(isinstance(module, FitsLabels) for module in fitting)
        some = slice(None, None, -(-len(rows) // FITTING_ROWS))
        inputs = rows.take(some)
        assert isinstance(inputs, torch.Tensor)
        labels = [target.as_columns()[some] for target in targets] if labelled else []
        for module in fitting:
            module.fit_inputs(inputs)
            if isinstance(module, FitsLabels):
                line = module.fit_labels(inputs, labels)
                said += [] if line is None else [line]
    counting = [module for module in network.modules() if isinstance(module, CountsInputs)]
    for chunk in rows.chunks() if counting else ():
        piece = rows.take(chunk)
        for counter in counting:
            counter.count_inputs(piece)
    return list(dict.fromkeys(said))  # a layer in each expert says the same
