"""Hard parameter sharing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.registry import component
from mtl_cli.models.sharing.scheme import Scheme
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared


@component("sharing", "hard")
@dataclass(frozen=True, kw_only=True)
class Hard(Scheme):
    """One trunk, z_t = f(x) for every task t (Caruana 1997, doi 10.1023/A:1007379606734)."""

    one_representation: ClassVar[bool] = True
    layerless: ClassVar[bool] = True

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        from mtl_cli.models.sharing.modules.hard import HardSharing

        return HardSharing(trunk.build(spec), tasks)
