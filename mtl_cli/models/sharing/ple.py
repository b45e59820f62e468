"""Progressive layered extraction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.registry import component
from mtl_cli.models.sharing.scheme import SeveralTrunks
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared


@component("sharing", "ple")
@dataclass(frozen=True, kw_only=True)
class PLE(SeveralTrunks):
    """PLE (Tang, Liu, Zhao & Gong, RecSys 2020, doi 10.1145/3383313.3412236, equations 5 and 6).

    CGC level upon level; a level is a stage of the trunk, such as one hidden layer. With x_t and x_s what task t's
    experts and the shared ones read at some level (the inputs at the first),

        x_t' = Σ_e g_t(x_t)_e S_t,e   over its own experts and the shared ones,
        x_s' = Σ_e g_s(x_s)_e S_e     over the experts of all tasks and the shared ones, at all levels but the last,

    are what the next level reads; at the last, z_t = x_t'. Each gate is softmax(W x + b) of what its own experts read.

    Parameters
    ----------
    shared_experts : int
        At each level.
    task_experts : int
        For each task, at each level.
    budget : {"each", "total"}

    Notes
    -----
    Departure: the paper's gates have no b; see MMoE. With one level it is CGC.
    """

    shared_experts: PositiveInt = 1
    task_experts: PositiveInt = 1

    mixes: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("rows",)

    def mixed(self) -> tuple[str, int] | None:
        return "shared_experts", self.shared_experts + self.task_experts

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.extraction import extraction

        return extraction(lambda: trunk.stages(spec), spec, list(tasks), self.task_experts, self.shared_experts)
