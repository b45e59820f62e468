"""Customised gate control."""

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


@component("sharing", "cgc")
@dataclass(frozen=True, kw_only=True)
class CGC(SeveralTrunks):
    """CGC (Tang, Liu, Zhao & Gong, RecSys 2020, doi 10.1145/3383313.3412236, equations 1 to 4).

    Each task t has experts of its own, and some are shared; each is a whole trunk. With S_t what task t's own experts
    and the shared ones return, and none of another task's,

        z_t = Σ_e g_t(x)_e S_t(x)_e,   g_t(x) = softmax(W_t x + b_t).

    Parameters
    ----------
    shared_experts : int
    task_experts : int
        For each task.
    budget : {"each", "total"}

    Notes
    -----
    Departure: the paper's gates have no b; see MMoE.
    """

    shared_experts: PositiveInt = 1
    task_experts: PositiveInt = 1

    mixes: ClassVar[bool] = True

    def mixed(self) -> tuple[str, int] | None:
        return "shared_experts", self.shared_experts + self.task_experts

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.extraction import extraction

        return extraction(lambda: [trunk.build(spec)], spec, list(tasks), self.task_experts, self.shared_experts)
