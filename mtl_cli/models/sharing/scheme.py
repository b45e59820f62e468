"""The contract of sharing schemes: what each declares of the trunks and balancers that go with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.errors import Problem
from mtl_cli.models.trunk import TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sharing.modules.shared import Shared

Budget = Literal["each", "total"]
"""Every trunk or expert as wide as ``model.trunk`` says; or narrower, all by one factor, so that the network has at
most as many parameters as with hard sharing."""


@dataclass(frozen=True, kw_only=True)
class Scheme(ABC):
    """A way to share layers among tasks: its settings as fields."""

    shares_layers: ClassVar[bool] = True
    """Whether the gradients of different tasks meet on any parameter, which balancers that look at gradients need."""
    one_representation: ClassVar[bool] = False
    """Whether all tasks of one level read the same z."""
    mixes: ClassVar[bool] = False
    """Whether it adds up what several trunks return, which must then be one tensor each."""
    stages: ClassVar[tuple[str, ...]] = ()
    """Which stages of a trunk it can join, if it needs them: see ``TrunkConfig.staged``."""
    layerless: ClassVar[bool] = False
    """Whether it also works with a trunk that has no layer."""

    @property
    def own_units(self) -> bool:
        """Whether unit i of one task's representation has nothing to do with unit i of another's."""
        return False

    @property
    def within_budget(self) -> bool:
        """Whether trunks are made narrower, so that the network has no more parameters than with hard sharing."""
        return False

    def mixed(self) -> tuple[str, int] | None:
        """Return the key that says how many experts a gate mixes, and their number; None if there is no gate."""
        return None

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong with these keys for tasks of these names."""
        yield from ()

    @abstractmethod
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


@dataclass(frozen=True, kw_only=True)
class SeveralTrunks(Scheme):
    """A scheme that builds more than one trunk.

    Parameters
    ----------
    budget : {"each", "total"}
    """

    budget: Budget = "each"

    @property
    def within_budget(self) -> bool:
        return self.budget == "total"
