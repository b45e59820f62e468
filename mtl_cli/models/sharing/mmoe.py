"""Multi-gate mixture of experts."""

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


@component("sharing", "mmoe")
@dataclass(frozen=True, kw_only=True)
class MMoE(SeveralTrunks):
    """MMoE (Ma, Zhao, Yi, Chen, Hong & Chi, KDD 2018, doi 10.1145/3219819.3220007, equations 6 and 7).

    With n experts f_e, each a trunk, that all tasks share, and a gate of its own for each task t,

        z_t = Σ_e g_t(x)_e f_e(x),   g_t(x) = softmax(W_t x + b_t).

    Parameters
    ----------
    experts : int
        n; the paper has 8.
    budget : {"each", "total"}

    Notes
    -----
    Departure: the paper's gates have no b. Where features have mean 0, as here, such a gate prefers no expert over all
    rows. With one task this is the mixture of experts of Jacobs et al. (1991).
    """

    experts: PositiveInt = 4

    mixes: ClassVar[bool] = True

    def mixed(self) -> tuple[str, int] | None:
        return "experts", self.experts

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.gates import SoftmaxGate, gate_reader
        from mtl_cli.models.sharing.modules.mixture import Mixture

        experts = [trunk.build(spec) for _ in range(self.experts)]
        return Mixture(experts, {task: SoftmaxGate(spec.width, self.experts) for task in tasks}, gate_reader(spec))
