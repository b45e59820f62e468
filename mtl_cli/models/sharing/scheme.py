"""The contract of sharing schemes, and what they have in common: which trunks each can share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import components
from mtl_cli.config.schema import Config
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared

Budget = Literal["each", "total"]
"""Every trunk or expert as wide as ``model.trunk`` says; or narrower, all by one factor, so that the network has at
most as many parameters as with hard sharing."""


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """A way to share layers among tasks: its settings as fields."""

    shares_layers: ClassVar[bool] = True
    """Whether the gradients of different tasks meet on any parameter, which balancers that look at gradients need."""
    own_units: ClassVar[bool] = False
    """Whether unit i of one task's representation has nothing to do with unit i of another's."""
    one_representation: ClassVar[bool] = False
    """Whether all tasks of one level read the same z."""
    mixes: ClassVar[bool] = False
    """Whether it adds up what several trunks return, which must then be one tensor each."""
    stages: ClassVar[tuple[str, ...]] = ()
    """Which stages of a trunk it can join, if it needs them: see ``TrunkConfig.staged``."""
    layerless: ClassVar[bool] = False
    """Whether it also works with a trunk that has no layer."""

    def build(self, trunk: TrunkConfig, spec: InputSpec, tasks: Mapping[str, Level]) -> Shared:
        """Build everything between the inputs and the heads.

        Parameters
        ----------
        trunk : TrunkConfig
            Of which as many are built as the scheme needs.
        spec : InputSpec
        tasks : mapping of str to {"row", "token"}
            What each task has labels for, in the tasks' order.
        """
        raise NotImplementedError

    @classmethod
    def misfit(cls, trunk: Any, gives: str | None) -> str | None:
        """Say why the scheme cannot share this trunk, or return None."""
        if cls.mixes and gives not in ("features", "image", "joint", None):
            return f"mixes trunks that read features or an image, and this data set gives {gives} inputs"
        staged = getattr(trunk, "staged", None)
        if cls.stages and staged not in cls.stages:
            return f"joins trunks stage by stage, and this one has no stages that return {' or '.join(cls.stages)}"
        return None

    def mixed(self) -> tuple[str, int] | None:
        """Return the key that says how many experts a gate mixes, and their number; None if there is no gate."""
        return None

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong with the rest of the config for this scheme."""
        trunk = config.model.trunk
        if trunk is None:
            return
        known = components("sharing")
        name = next((name for name, cls in known.items() if cls is type(self)), type(self).__name__)
        gives = getattr(config.dataset, "input_kind", None)
        if not self.layerless and not getattr(trunk, "shares_layers", True):
            yield Problem("model.trunk.hidden", f"is empty: model.sharing={name} needs a layer", "give it one, [64]")
        elif why := self.misfit(trunk, gives):
            able = [other for other, cls in known.items() if cls.misfit(trunk, gives) is None]  # type: ignore[attr-defined]
            yield Problem("model.sharing", f"{name} {why}", f"choose from {', '.join(able)}")
        width, mixed = getattr(trunk, "output_width", None), self.mixed()
        if mixed is not None and width is not None and mixed[1] > width:
            what = f"a gate mixes {mixed[1]} experts, and what they return is {width} wide: more of them span no more"
            yield Problem(f"model.sharing.{mixed[0]}", what, f"at most {width}, or a wider model.trunk.hidden")
        if getattr(self, "budget", "each") == "total" and not hasattr(trunk, "scaled"):
            what = "total makes trunks narrower, which this kind of trunk does not know how to"
            yield Problem("model.sharing.budget", what, "model.sharing.budget=each")
