"""Mixtures of experts that all tasks share, each task with a gate of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs
from mtl_cli.models.sharing.modules.gates import SelectorGate, mix
from mtl_cli.models.sharing.modules.shared import Shared
from mtl_cli.models.trunk import Trunk


class Mixture(Shared):
    """z_t = Σ_e g_te(x) f_e(x).

    Parameters
    ----------
    experts : sequence of Trunk
    gates : mapping of str to Module
        By task: from rows to the weights of the experts.
    reader : Module
        From the inputs to what the gates read.
    entropy : float
        What the entropy of the gates' selectors is multiplied by in the penalty; 0 for gates that have none.
    """

    trunks_of_tasks: ClassVar[bool] = False

    def __init__(
        self, experts: Sequence[Trunk], gates: Mapping[str, nn.Module], reader: nn.Module, entropy: float = 0.0
    ) -> None:
        super().__init__(experts[0].width)
        self.experts = nn.ModuleList(expert.module for expert in experts)
        self.tasks = list(gates)
        self.gates = nn.ModuleList(gates.values())
        self.reader = reader
        self._entropy = entropy
        self._last = [expert.last_shared_layer for expert in experts if expert.last_shared_layer is not None]
        self._read: torch.Tensor | None = None

    def trunks(self) -> list[nn.Module]:
        """Return the experts."""
        return list(self.experts)

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layer of each expert."""
        return self._last

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return the experts' parameters; a gate is its task's own."""
        return list(self.experts.parameters())

    def penalty(self) -> torch.Tensor | None:
        """Return the entropy of the selectors, of those that choose by row at the rows seen last."""
        gates = [gate for gate in self.gates if isinstance(gate, SelectorGate)]
        if self._entropy == 0 or not gates or self._read is None:
            return None
        read, self._read = self._read, None
        return self._entropy * torch.stack([gate.entropy(read) for gate in gates]).sum()

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation of each task."""
        outputs = torch.stack([expert(inputs) for expert in self.experts])
        read = self.reader(inputs)
        self._read = read.detach() if self._entropy and self.training else None
        return {task: mix(gate(read), outputs) for task, gate in zip(self.tasks, self.gates, strict=True)}
