"""Cross-stitch networks: a trunk for each task, whose stages read a learned mixture of all trunks' last stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

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
        self._stages = [[trunk.module for trunk in stage] for stage in stages]
        self.stages = nn.ModuleList(module for stage in self._stages for module in stage)
        widths = [stage[0].width if per == "channel" else 1 for stage in stages]
        self.units = nn.ModuleList(Unit(len(trunks), width, diagonal) for width in widths)
        self._last = [trunk.last_shared_layer for trunk in stages[-1] if trunk.last_shared_layer is not None]

    def trunks(self) -> list[nn.Module]:
        """Return each task's trunk, without what stitches it to the others."""
        return [nn.Sequential(*stages) for stages in zip(*self._stages, strict=True)]

    @property
    def last_shared_layers(self) -> list[nn.Module]:
        """The last layer of each trunk: the last unit brings every task's gradient to all of them."""
        return self._last

    def shared_parameters(self) -> list[nn.Parameter]:
        """Return all but the last unit, each row of which only one task reads."""
        return parameters_of([*self.stages, *list(self.units)[:-1]])

    def forward(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the representation of each task."""
        values: Sequence[Any] = [inputs] * len(self.tasks)
        for stage, unit in zip(self._stages, self.units, strict=True):
            outputs = torch.stack([module(value) for module, value in zip(stage, values, strict=True)])
            values = unit(outputs).unbind()
        return dict(zip(self.tasks, values, strict=True))


class Unit(nn.Module):
    """x̃_i = Σ_j α_ij x_j for each task i.

    Parameters
    ----------
    tasks : int
        T.
    width : int
        How many channels have an α of their own; 1 for one that all share.
    diagonal : float
        α_ii at the start.
    """

    def __init__(self, tasks: int, width: int, diagonal: float) -> None:
        super().__init__()
        rows = torch.full((tasks, tasks, width), (1 - diagonal) / max(tasks - 1, 1))
        rows[range(tasks), range(tasks)] = diagonal if tasks > 1 else 1.0
        self.alpha = nn.ParameterList(nn.Parameter(row.clone()) for row in rows)
        """α_i, shape (T, width): a parameter for each task that reads."""

    def forward(self, outputs: torch.Tensor) -> torch.Tensor:
        """Mix outputs of shape (T, n, width, …)."""
        alpha = torch.stack([*self.alpha])
        if alpha.shape[2] == 1:
            mixed = torch.einsum("ij,jn...->in...", alpha[:, :, 0], outputs)
        else:
            mixed = torch.einsum("ijc,jnc...->inc...", alpha, outputs)
        return mixed
