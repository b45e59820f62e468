"""A one-dimensional convolutional network over sequences as the shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.trunk import StrandTrunkConfig, Trunk
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.sequence_layers import ConvolutionalTrunk


@component("trunk", "sequence_cnn")
@dataclass(frozen=True, kw_only=True)
class SequenceCNN(StrandTrunkConfig):
    """Embedded tokens, residual blocks of dilated convolutions, and a linear layer that all tasks read.

    The blocks are those of ByteNet (Kalchbrenner et al. 2016, arXiv 1610.10099), shortened to one convolution each, as
    CARP uses them for proteins (Yang et al. 2024, doi 10.1016/j.cels.2024.01.008). Nothing in them looks beyond a row's
    end: what fills a batch changes no result.

    For ``reverse_complement`` see ``StrandTrunkConfig``.

    Parameters
    ----------
    width : int
        Of every layer.
    blocks : int
        The dilation doubles from block to block, from 1 on.
    kernel : int
        Places that a convolution sees; odd, so that it looks as far to the left as to the right.
    longest_dilation : int
        Beyond it the dilation starts again at 1.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    pooling : {"mean", "max", "attention"}
        How residues become what tasks of whole sequences read: ``max`` finds motifs, ``mean`` averages over the whole.
    dropout : float
        The share of units set to zero in training, at the end of each block.
    """

    width: PositiveInt = 64
    blocks: PositiveInt = 4
    kernel: PositiveInt = 5
    longest_dilation: PositiveInt = 16
    activation: Activation = "gelu"
    pooling: Literal["mean", "max", "attention"] = "max"
    dropout: Probability = 0.1

    levels: ClassVar[tuple[Level, ...]] = ("row", "token")
    can_scale: ClassVar[bool] = True

    @property
    def output_width(self) -> int:
        """The width of the representation."""
        return self.width

    def scaled(self, factor: float) -> SequenceCNN:
        """Return the same with layers ``factor`` times as wide."""
        return replace(self, width=max(1, round(self.width * factor)))

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong within this part of the config."""
        if self.kernel % 2 == 0:
            what = f"is {self.kernel}, and an even one looks farther to one side"
            yield Problem("model.trunk.kernel", what, f"model.trunk.kernel={self.kernel + 1}")

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for sequences of as many kinds of tokens as ``spec`` has."""
        from mtl_cli.data.sequences.residues import base_shares
        from mtl_cli.models.sequence_layers import ConvolutionalTrunk
        from mtl_cli.models.strands import with_strands

        family = bool(spec.reference) and "row" in spec.levels and not self.reads_both_strands
        if family and "token" not in spec.levels:
            return self._family(spec, None)
        dilations, dilation = [], 1
        for _ in range(self.blocks):
            dilations.append(dilation)
            dilation = dilation * 2 if dilation * 2 <= self.longest_dilation else 1
        shares = base_shares("".join(spec.names[1:])) if spec.complement else None
        module = ConvolutionalTrunk(
            spec.shape[0], self.width, dilations, self.kernel, self.activation, self.pooling, self.dropout, shares
        )
        if family:
            return self._family(spec, module)
        merge: Literal["max", "mean"] = "max" if self.pooling == "max" else "mean"
        return Trunk(with_strands(module, self.reverse_complement, spec, merge), self.width, module.last)

    def _family(self, spec: InputSpec, convolutions: ConvolutionalTrunk | None) -> Trunk:
        """Build the trunk for a family, whose rows are their differences from a reference."""
        from mtl_cli.models.family_layers import DifferenceSum, FamilyTrunk

        width, activation = self.width, self.activation
        summed = DifferenceSum(spec.reference, spec.shape[0], width, activation, self.dropout)
        module = FamilyTrunk(summed, width, activation, self.dropout, convolutions)
        return Trunk(module, width, module.last)
