"""What a built trunk tells the rest of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Protocol, Self

from mtl_cli.config.convert import Bound
from mtl_cli.config.errors import Problem
from mtl_cli.config.schema import Config

if TYPE_CHECKING:
    from torch import nn

    from mtl_cli.data.inputs import InputSpec


@dataclass(frozen=True, kw_only=True)
class TrunkKeys:
    """The keys that every trunk has.

    Parameters
    ----------
    freeze : {"none", "all"} or int
        Do not train the trunk at all, or not in the first so many epochs, while the heads learn.
    """

    freeze: Literal["none", "all"] | Annotated[int, Bound(at_least=1)] = "none"

    training_only: ClassVar[tuple[str, ...]] = ("freeze", "dropout")
    """Keys that do not change what a trained trunk computes."""

    @property
    def smallest_batch(self) -> int:
        """The fewest rows that a training step can take: batch norm has no variance for one."""
        return 1

    def settled(self) -> Self:
        """Return a config that builds the same layers without the files that this one may read."""
        return self

    def free_keys(self, other: Any) -> tuple[str, ...]:
        """Return keys, beside ``training_only``, that may differ from those of ``other``, a trunk of the same kind."""
        return ()

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong with the rest of the config for this trunk."""
        if isinstance(self.freeze, int) and config.trainer is not None and self.freeze >= config.trainer.epochs:
            what = f"holds the trunk for {self.freeze} of {config.trainer.epochs} epochs"
            yield Problem("model.trunk.freeze", what, "give fewer than trainer.epochs, or all")


class TrunkConfig(Protocol):
    """The config of a trunk.

    It may also have ``smallest_batch``, the fewest rows that a training step can take; ``levels``, what it can tell
    tasks of (("row",) by default); ``settled()``, if it reads files: a config that builds the same without them; and,
    for sharing schemes that ask for it,

    - ``output_width``, that of the representation, as far as the config tells;
    - ``scaled(factor)``, the config of a trunk with all widths times ``factor``, and at least 1;
    - ``staged``, "rows" or "maps", and ``stages(spec)``: a list of trunks that, each reading what the one before
      returned, make up the whole; all but the last return (n, width), or maps of (n, width, height, columns).

    One that is an ensemble, with a representation (n, members, width), says so by ``ensemble``, and its ``linear``
    makes a linear layer of a head from its widths, with weights for each member: the heads' outputs are (n, members,
    outputs).
    """

    accepts: ClassVar[tuple[str, ...]]
    """Which kinds of inputs it reads: see ``InputSpec``."""

    @property
    def shares_layers(self) -> bool:
        """Whether there is any layer to share, which balancers that look at gradients need."""

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for inputs of one of the kinds that it ``accepts``."""


class Trunk(NamedTuple):
    """The shared layers.

    Parameters
    ----------
    module : Module
        From inputs to the representation, (n, width). One that reads sequences returns it by level: ``row`` as such and
        ``token`` as (n, length, width).
    width : int
    last_shared_layer : Module, optional
        The last layer with a weight matrix or kernel: never a norm layer. None if nothing is shared.
    """

    module: nn.Module
    width: int
    last_shared_layer: nn.Module | None
