"""Cross-stitch networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from mtl_cli.config.convert import Bound
from mtl_cli.config.registry import component
from mtl_cli.models.sharing.scheme import SeveralTrunks
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared


@component("sharing", "cross_stitch")
@dataclass(frozen=True, kw_only=True)
class CrossStitchNetwork(SeveralTrunks):
    """Cross-stitch networks (Misra, Shrivastava, Gupta & Hebert, CVPR 2016, arXiv 1604.03539, equation 1).

    A trunk for each task, in stages. Behind each, task i goes on from a mixture of what all tasks' stages returned,

        x̃_i = Σ_j α_ij x_j,

    with α_ij learned. At the start α_ii = ``diagonal``, and the others share the rest alike, so that a row sums to 1.

    Parameters
    ----------
    diagonal : float
        1 starts from separate networks, 1 / T from one mixture for all; the paper finds 0.9 best.
    per : {"layer", "channel"}
        One α_ij for a whole stage, or one for each of its channels (for each unit of a linear layer).
    budget : {"each", "total"}

    Notes
    -----
    Departures: the paper has two tasks, starts from trained single-task networks, and gives α a learning rate 100 to
    1000 times the network's; here there are any number of tasks, which start untrained, and one learning rate.
    """

    diagonal: Annotated[float, Bound(at_least=0, at_most=1)] = 0.9
    per: Literal["layer", "channel"] = "layer"

    mixes: ClassVar[bool] = True
    stages: ClassVar[tuple[str, ...]] = ("rows", "maps")

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.cross_stitch import CrossStitch

        return CrossStitch([trunk.stages(spec) for _ in tasks], list(tasks), self.diagonal, self.per)
