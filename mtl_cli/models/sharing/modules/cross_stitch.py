"""Cross-stitch networks: a trunk for each task, whose stages read a learned mixture of all trunks' last stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import nn

from mtl_cli.data.inputs import Inputs
from mtl_cli.models.sharing.modules.shared import Shared, parameters_of
from mtl_cli.models.trunk import Trunk

Per = Literal["layer", "channel"]


class CrossStitch(Shared):
    """Trunks side by side, stitched together behind each stage.

    Parameters
    ----------
    trunks : sequence of list of Trunk
        Each task's, in stages.
    tasks : sequence of str
    diagonal : float
        α_tt at the start; the others share 1 − α_tt.
    per : {"layer", "channel"}
        One unit for all of a stage's output, or one for each of its channels.
    """

    def __init__(self, trunks: Sequence[list[Trunk]], tasks: Sequence[str], diagonal: float, per: Per) -> None:
        super().__init__(trunks[0][-1].width)
        self.tasks = list(tasks)
        stages = list(zip(*trunks, strict=True))
        self.stages = nn.ModuleList(nn.ModuleList(trunk.module for trunk in stage) for stage in stages)
        widths = [stage[0].width if per == "channel" else 1 for stage in stages]
        self.units = nn.ModuleList(_unit(len(trunks), width, diagonal) for width in widths)
        self._last = [trunk.last_shared_layer for trunk in stages[-1] if trunk.last_shared_layer is not None]

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layer of each trunk: the last unit brings every task's gradient to all of them."""
        return self._last

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return all but the last unit, each row of which only one task reads."""
        return parameters_of([*self.stages, *list(self.units)[:-1]])

    def trunk_modules(self) -> list[nn.Module]:
        """Return each task's trunk, without the units between its stages."""
        own = zip(*(list(stage) for stage in self.stages), strict=True)  # type: ignore[arg-type]
        return [nn.Sequential(*stages) for stages in own]

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation of each task."""
        values: Sequence[Inputs] = [inputs] * len(self.tasks)
        for stage, unit in zip(self.stages, self.units, strict=True):
            outputs = torch.stack([module(value) for module, value in zip(stage, values, strict=True)])
            values = _stitch(torch.stack([*unit.parameters()]), outputs).unbind()
        return dict(zip(self.tasks, values, strict=True))  # type: ignore[arg-type]


def _unit(tasks: int, width: int, diagonal: float) -> nn.ParameterList:
    """Return α, a parameter of shape (T, width) for each task that reads."""
    other = (1 - diagonal) / (tasks - 1) if tasks > 1 else 0.0
    rows = torch.full((tasks, tasks, width), other)
    rows.diagonal().fill_(diagonal if tasks > 1 else 1.0)
    return nn.ParameterList(nn.Parameter(row.clone()) for row in rows)


def _stitch(alpha: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
    """Return Σ_j α_ij x_j for each task i.

    Parameters
    ----------
    alpha : Tensor of shape (T, T, width), or (T, T, 1)
    outputs : Tensor of shape (T, n, width, …)
    """
    if alpha.shape[2] == 1:
        return torch.tensordot(alpha[:, :, 0], outputs, 1)
    return torch.einsum("ijc,jnc...->inc...", alpha, outputs)
