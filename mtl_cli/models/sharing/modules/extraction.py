"""Progressive layered extraction: experts of each task beside shared ones, level upon level."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs, InputSpec
from mtl_cli.models.sharing.modules.gates import SoftmaxGate, gate_reader, mix
from mtl_cli.models.sharing.modules.shared import Shared, parameters_of
from mtl_cli.models.trunk import Trunk


class Level(nn.Module):
    """One extraction: the experts of each task and the shared ones, and a gate for each that reads them.

    Parameters
    ----------
    own : sequence of list of Trunk
        Each task's experts.
    shared : sequence of Trunk
    inputs : int
        The width of what the gates read.
    last : bool
        Whether no level follows, which would ask for a shared gate.
    """

    def __init__(self, own: Sequence[list[Trunk]], shared: Sequence[Trunk], inputs: int, last: bool) -> None:
        super().__init__()
        self._own = [[expert.module for expert in experts] for experts in own]
        self.own = nn.ModuleList(expert for experts in self._own for expert in experts)
        self.shared = nn.ModuleList(expert.module for expert in shared)
        self.gates = nn.ModuleList(SoftmaxGate(inputs, len(experts) + len(shared)) for experts in own)
        every = sum(len(experts) for experts in own) + len(shared)
        self.shared_gate = None if last else SoftmaxGate(inputs, every)

    def forward(
        self, own: Sequence[Inputs], shared: Inputs, own_read: Sequence[torch.Tensor], shared_read: torch.Tensor
    ) -> tuple[list[torch.Tensor], torch.Tensor | None]:
        """Return what each task extracts, and what the next level's shared experts are to read.

        Parameters
        ----------
        own : sequence of Inputs
            What each task's experts read.
        shared : Inputs
            What the shared experts read.
        own_read, shared_read
            The same as rows of numbers, which the gates read.
        """
        theirs = [[expert(value) for expert in experts] for experts, value in zip(self._own, own, strict=True)]
        common = [expert(shared) for expert in self.shared]
        tasks = [
            mix(gate(read), torch.stack([*outputs, *common]))
            for gate, read, outputs in zip(self.gates, own_read, theirs, strict=True)
        ]
        if self.shared_gate is None:
            return tasks, None
        every = torch.stack([*(output for outputs in theirs for output in outputs), *common])
        return tasks, mix(self.shared_gate(shared_read), every)


class Extraction(Shared):
    """Levels one after the other; the first reads the inputs.

    Parameters
    ----------
    levels : sequence of Level
    tasks : sequence of str
    reader : Module
        From the inputs to what the first level's gates read.
    width : int
    last : list of Module
        The last layers of the shared experts of the last level.
    """

    def __init__(
        self, levels: Sequence[Level], tasks: Sequence[str], reader: nn.Module, width: int, last: list[nn.Module]
    ) -> None:
        super().__init__(width)
        self._levels = list(levels)
        self.levels = nn.ModuleList(levels)
        self.tasks = list(tasks)
        self.reader = reader
        self._last = last

    def trunks(self) -> list[nn.Module]:
        """Return the experts, each task's and then the shared ones, each through all levels."""
        experts = zip(*([*level.own, *level.shared] for level in self._levels), strict=True)
        return [nn.Sequential(*levels) for levels in experts]

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layers of the last level's shared experts."""
        return self._last

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return all that some shared gate above hands on to every task, and the shared experts.

        A task's own are its experts and its gate of the last level, and its gate of the level before, which leads to
        nothing but those.
        """
        found: list[nn.Parameter] = []
        for above, level in enumerate(reversed(self._levels)):
            found += level.shared.parameters()
            if level.shared_gate is not None:
                found += parameters_of([level.own, level.shared_gate])
            if above > 1:
                found += level.gates.parameters()
        return found

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation of each task."""
        read = self.reader(inputs)
        own: Sequence[Inputs] = [inputs] * len(self.tasks)
        own_read = [read] * len(self.tasks)
        shared: Inputs = inputs
        for level in self._levels:
            own_read, read = level(own, shared, own_read, read)
            own, shared = own_read, read
        return dict(zip(self.tasks, own_read, strict=True))


def extraction(
    expert: Callable[[], list[Trunk]], spec: InputSpec, tasks: Sequence[str], own: int, shared: int
) -> Extraction:
    """Build the levels.

    Parameters
    ----------
    expert : callable
        Returns an untrained expert of each level.
    spec : InputSpec
    tasks : sequence of str
    own, shared : int
        How many experts each task has, and how many are shared, at each level.
    """
    theirs = [[expert() for _ in range(own)] for _ in tasks]
    common = [expert() for _ in range(shared)]
    levels: list[Level] = []
    width = spec.width
    for number in range(len(common[0])):
        experts = [[levels_of[number] for levels_of in task] for task in theirs]
        of_all = [levels_of[number] for levels_of in common]
        levels.append(Level(experts, of_all, width, last=number == len(common[0]) - 1))
        width = of_all[0].width
    last = [levels_of[-1].last_shared_layer for levels_of in common]
    return Extraction(levels, tasks, gate_reader(spec), width, [layer for layer in last if layer is not None])
