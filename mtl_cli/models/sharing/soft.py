"""Soft parameter sharing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.registry import component
from mtl_cli.models.sharing.scheme import SeveralTrunks
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared


@component("sharing", "soft")
@dataclass(frozen=True, kw_only=True)
class Soft(SeveralTrunks):
    """A trunk for each task, and a penalty on how far apart their weights are.

    With W_t^l the weights (or biases) of layer l in task t's trunk, the training loss gets, beside Σ_t w_t L_t,

    - ``l2``: λ Σ_l Σ_{s<t} ‖W_s^l − W_t^l‖²_F (Duong, Cohn, Bird & Cook, ACL 2015, doi 10.3115/v1/P15-2139, who have
      two tasks);
    - ``trace_norm``: λ Σ_l ‖[vec W_1^l, …, vec W_T^l]‖_*, the sum of the singular values, low where the tasks' weights
      lie near a subspace of few dimensions (Yang & Hospedales 2017, arXiv 1606.04038, the "last axis flattening").

    Parameters
    ----------
    distance : {"l2", "trace_norm"}
    strength : float
        λ.
    start : {"same", "own"}
        Whether all trunks start from the same weights: units of trunks that start apart do not correspond.
    budget : {"each", "total"}

    Notes
    -----
    Departures: Duong et al. start one network from the other's trained weights, Yang & Hospedales from single-task
    ones; here all start from one draw. The balancer weights the losses, not the penalty.
    """

    distance: Literal["l2", "trace_norm"] = "l2"
    strength: NonNegativeFloat = 0.01
    start: Literal["same", "own"] = "same"

    shares_layers: ClassVar[bool] = False

    @property
    def own_units(self) -> bool:
        """Whether the tasks' trunks have different first weights."""
        return self.start == "own"

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.own import OwnTrunks, squared_distance, trace_norm

        trunks = [trunk.build(spec) for _ in tasks]
        if self.start == "same":
            for other in trunks[1:]:
                other.module.load_state_dict(trunks[0].module.state_dict())
        distance = squared_distance if self.distance == "l2" else trace_norm
        return OwnTrunks(trunks, tasks, distance if self.strength else None, self.strength)
