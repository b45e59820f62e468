"""Hashed n-grams of words and a convolutional network over them as the shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.trunk import Trunk, TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "text_cnn")
@dataclass(frozen=True, kw_only=True)
class TextCNN(TrunkConfig):
    """Words as sums of hashed n-grams, residual blocks of convolutions, and a linear layer that all tasks read.

    Words are embedded as in fastText (Bojanowski et al. 2017, doi 10.1162/tacl_a_00051), with beginnings, endings and
    the shape of a word beside its n-grams; what a task of whole texts reads is made of means, as there (Joulin
    et al. 2017, arXiv 1607.01759). Blocks are those of ``sequence_cnn``. Much is dropped in training: texts are few
    where there is nothing that was learnt before.

    Parameters
    ----------
    buckets : int
        Vectors of n-grams; those whose numbers are equal modulo it share one.
    embedding : int
        Width of these vectors.
    width : int
        Of every other layer.
    blocks : int
        The dilation doubles from block to block, from 1 on.
    kernel : int
        Words that a convolution sees; odd.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    dropout : float
        The share of units set to zero in training, at the end of each block and behind the last layer.
    gram_dropout : float
        The share of n-grams that are left out.
    input_dropout : float
        The share of a word's, and a text's, numbers that are set to zero.
    word_dropout : float, or "auto"
        The share of words that are left out of what tasks of whole texts read. ``auto``: 0.8, or 0.3 with more
        than 8000 texts to train on.
    """

    buckets: PositiveInt = 16384
    embedding: PositiveInt = 64
    width: PositiveInt = 128
    blocks: PositiveInt = 1
    kernel: PositiveInt = 3
    activation: Activation = "gelu"
    dropout: Probability = 0.3
    gram_dropout: Probability = 0.3
    input_dropout: Probability = 0.5
    word_dropout: Literal["auto"] | Probability = "auto"

    accepts: ClassVar[tuple[str, ...]] = ("text",)
    levels: ClassVar[tuple[Level, ...]] = ("row", "token")
    training_only: ClassVar[tuple[str, ...]] = (
        *TrunkConfig.training_only, "gram_dropout", "input_dropout", "word_dropout",
    )  # fmt: skip
    can_scale: ClassVar[bool] = True

    @property
    def output_width(self) -> int:
        """The width of the representation."""
        return self.width

    def scaled(self, factor: float) -> TextCNN:
        """Return the same with layers ``factor`` times as wide."""
        narrow = {key: max(1, round(vars(self)[key] * factor)) for key in ("embedding", "width")}
        return replace(self, **narrow)

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong within this part of the config."""
        if self.kernel % 2 == 0:
            what = f"is {self.kernel}, and an even one looks farther to one side"
            yield Problem("model.trunk.kernel", what, f"model.trunk.kernel={self.kernel + 1}")

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for texts, with features beside them where ``spec`` has some."""
        from mtl_cli.models.text_layers import GramEmbedding, TextTrunk

        features = sum(part.width for part in spec.parts.values())
        embedding = GramEmbedding(self.buckets, self.embedding, self.gram_dropout)
        module = TextTrunk(
            embedding, self.embedding, features, self.width, self.blocks, self.kernel, self.activation,
            self.dropout, self.input_dropout, None if self.word_dropout == "auto" else self.word_dropout,
        )  # fmt: skip
        return Trunk(module, self.width, module.last)
