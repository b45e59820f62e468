"""The contract of trunks: what the config of one declares, and what it builds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple, Self

from mtl_cli.config.convert import Bound
from mtl_cli.config.errors import Problem
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from torch import nn

    from mtl_cli.data.inputs import InputSpec

ReverseComplement = Literal["none", "augment", "tied"]
"""Whether a trunk reads the other strand of DNA and RNA too: no; in training, in place of half of the rows; always."""


@dataclass(frozen=True, kw_only=True)
class TrunkConfig(ABC):
    """A trunk, the layers that tasks can share: its settings as fields, and what else can be asked about it.

    Parameters
    ----------
    freeze : {"none", "all"} or int
        Do not train the trunk at all, or not in the first so many epochs, while the heads learn.
    """

    freeze: Literal["none", "all"] | Annotated[int, Bound(at_least=1)] = "none"

    accepts: ClassVar[tuple[str, ...]]
    """Which kinds of inputs it reads, as data sets name them in ``input_kind``."""
    levels: ClassVar[tuple[Level, ...]] = ("row",)
    """What it has a representation of."""
    training_only: ClassVar[tuple[str, ...]] = ("freeze", "dropout")
    """Keys that do not change what a trained trunk computes."""
    ensemble: ClassVar[bool] = False
    """Whether it is one, with a representation (n, members, width)."""
    staged: ClassVar[Literal["rows", "maps"] | None] = None
    """What its ``stages`` return, if it can be built in stages."""
    can_scale: ClassVar[bool] = False
    """Whether it has ``scaled``."""

    @property
    def shares_layers(self) -> bool:
        """Whether there is any layer to share that is trained, which balancers that look at gradients need."""
        return True

    @property
    def smallest_batch(self) -> int:
        """The fewest rows that a training step can take: batch norm has no variance for one."""
        return 1

    @property
    def output_width(self) -> int | None:
        """The width of the representation; None where the config does not tell."""
        return None

    @property
    def longest(self) -> int | None:
        """The most tokens of a sequence that it reads; None if there is no limit, or it is not known."""
        return None

    @property
    def pieces(self) -> str | None:
        """The folder, or name at a hub, of the tokenizer whose pieces of words it reads; None if it reads none."""
        return None

    @property
    def reads_both_strands(self) -> bool:
        """Whether it reads sequences of DNA or RNA from both strands, to represent whole rows."""
        return False

    @property
    def embeds_numbers(self) -> bool:
        """Whether its first layer makes vectors of a table's numbers."""
        return False

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong with these keys for tasks of these names."""
        yield from ()

    @abstractmethod
    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for inputs of one of the kinds that it ``accepts``."""

    def stages(self, spec: InputSpec) -> list[Trunk]:
        """Build it in stages that, each reading what the one before returned, make up the whole.

        All but the last return (n, width), or where ``staged`` is "maps" (n, channels, height, width).
        """
        raise NotImplementedError(f"{type(self).__name__} has no stages")

    def scaled(self, factor: float) -> Self:
        """Return the same with all widths times ``factor``, and at least 1."""
        raise NotImplementedError(f"{type(self).__name__} cannot be scaled")

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        """Return a linear layer of a head that reads the representation; of an ensemble, with weights per member."""
        from torch import nn

        return nn.Linear(inputs, outputs)

    def settled(self) -> Self:
        """Return a config that builds the same layers without the files that this one may read."""
        return self

    def free_keys(self, other: Any) -> tuple[str, ...]:
        """Return keys, beside ``training_only``, that may differ from those of ``other``, a trunk of the same kind."""
        return ()


@dataclass(frozen=True, kw_only=True)
class StrandTrunkConfig(TrunkConfig):
    """A trunk of sequences that can read DNA and RNA from both strands.

    Parameters
    ----------
    reverse_complement : {"none", "augment", "tied"}
        Of DNA and RNA: read it in place of a row in training, half of the time; or both strands of each row always, for
        predictions that are equal for both.
    """

    reverse_complement: ReverseComplement = "none"

    accepts: ClassVar[tuple[str, ...]] = ("sequence",)

    @property
    def reads_both_strands(self) -> bool:
        return self.reverse_complement != "none"


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
