"""Nothing shared: single-task baselines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.models.sharing.scheme import Budget, SeveralTrunks
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared


@component("sharing", "none")
@dataclass(frozen=True, kw_only=True)
class SingleTask(SeveralTrunks):
    """A trunk for each task, z_t = f_t(x): T single-task networks, trained side by side on the same batches.

    Parameters
    ----------
    budget : {"total", "each"}
        ``total`` scales the widths of the trunks by one factor, so that all T networks together have at most as many
        parameters as the one network of hard sharing, and as near as whole widths come; ``each`` gives every task the
        whole trunk, as the tables of most papers do.

    Notes
    -----
    The rest of the budget is hard sharing's, too: the rows, the batches, the steps, one optimizer, and early stopping
    by the mean score. A balancer's weight does no more here than a learning rate for the task.
    """

    budget: Budget = "total"

    shares_layers: ClassVar[bool] = False
    layerless: ClassVar[bool] = True

    @property
    def own_units(self) -> bool:
        return True

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.own import OwnTrunks

        return OwnTrunks([trunk.build(spec) for _ in tasks], tasks)
