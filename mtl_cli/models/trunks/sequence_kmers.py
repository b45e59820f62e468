"""A multi-layer perceptron on how often each k-mer is in a sequence, as the shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.trunk import StrandTrunkConfig, Trunk

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec

MOST = 2**20
"""Different k-mers."""


@component("trunk", "sequence_kmers")
@dataclass(frozen=True, kw_only=True)
class SequenceKmers(StrandTrunkConfig):
    """The counts of a sequence's words of k letters, into a multi-layer perceptron; where they stand is of no matter.

    The first layer is a sum of vectors, one of each k-mer, over the sequence, divided by the root of its length; a
    k-mer with an ambiguous letter counts for nothing.

    For ``reverse_complement`` see ``StrandTrunkConfig``.

    Parameters
    ----------
    k : "auto" or int
        Letters; ``auto``: 6 of bases, 3 of residues.
    hidden : list of int
        Widths of the layers, of which the first is the vectors'.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    dropout : float
        Behind each layer.
    """

    k: Literal["auto"] | PositiveInt = "auto"
    hidden: list[PositiveInt] = field(default_factory=lambda: [64, 64])
    activation: Activation = "relu"
    dropout: Probability = 0.2

    can_scale: ClassVar[bool] = True

    @property
    def output_width(self) -> int:
        """The width of the representation."""
        return self.hidden[-1]

    def scaled(self, factor: float) -> SequenceKmers:
        """Return the same with layers ``factor`` times as wide."""
        return replace(self, hidden=[max(1, round(width * factor)) for width in self.hidden])

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong within this part of the config."""
        if len(self.hidden) < 2:
            what = "needs two widths at least: that of the k-mers' vectors, and of a layer on their sum"
            yield Problem("model.trunk.hidden", what, "model.trunk.hidden=[64,64]")

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk. Raises UserError if there would be too many k-mers, or no other strand."""
        from mtl_cli.models.kmer_layers import KmerTrunk
        from mtl_cli.models.strands import with_strands

        letters = 4 if spec.complement else 20
        k = (6 if spec.complement else 3) if self.k == "auto" else self.k
        if letters**k > MOST:
            most = max(n for n in range(1, 11) if letters**n <= MOST)
            raise UserError("model.trunk.k", f"is {k}: there are {letters}^{k} k-mers", f"at most {most}")
        module = KmerTrunk(letters, k, self.hidden, self.activation, self.dropout)
        return Trunk(with_strands(module, self.reverse_complement, spec), self.hidden[-1], module.last)
