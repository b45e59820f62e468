"""TabM: an ensemble of multi-layer perceptrons that share most of their weights."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.embeddings import TABULAR, Embeddings
from mtl_cli.models.trunk import Trunk, TrunkConfig

if TYPE_CHECKING:
    from torch import nn

    from mtl_cli.data.inputs import InputSpec


@component("trunk", "tabm")
@dataclass(frozen=True, kw_only=True)
class TabM(TrunkConfig):
    """TabM (Gorishniy et al. 2024, arXiv 2410.24210) as the package ``tabm`` has it, by the paper's authors.

    Member i = 1 … k of a layer computes s_i ∘ W (r_i ∘ x_i) + b_i (section 3.3; BatchEnsemble, arXiv 2002.06715,
    equation 5): W is shared, the vectors r_i, s_i, b_i are its own. Its first r is drawn at random, a number per input;
    all others start at 1. The members read the same rows, each has a head of its own for each task, and each is trained
    on its own loss: a task's loss is the mean over its members'. Their predictions are averaged when they are used:
    numbers as such, probabilities for classes.

    Each level of a category is an input of its own here, and so has a random number of its own in the first r, where
    the package has one for all levels of a category.

    Parameters
    ----------
    members : int
        k.
    layers, width : int
        Of each member.
    architecture : {"tabm", "mini", "packed"}
        ``mini`` has only the first r and shares all else; ``packed`` shares nothing, and is k networks side by side.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    dropout : float
    embeddings : Embeddings
        Of the inputs that are numbers; shared by the members. With them it is the paper's TabM†.
    """

    members: PositiveInt = 32
    layers: PositiveInt = 2
    width: PositiveInt = 128
    architecture: Literal["tabm", "mini", "packed"] = "tabm"
    activation: Activation = "relu"
    dropout: Probability = 0.1
    embeddings: Embeddings = field(default_factory=Embeddings)

    accepts: ClassVar[tuple[str, ...]] = ("features",)
    ensemble: ClassVar[bool] = True
    can_scale: ClassVar[bool] = True

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what keeps this trunk from being built."""
        if importlib.util.find_spec("tabm") is None:
            yield Problem("model.trunk.kind", "tabm needs the package tabm", TABULAR)
        else:
            yield from self.embeddings.check()

    @property
    def output_width(self) -> int:
        """The width of the representation."""
        return self.width

    @property
    def embeds_numbers(self) -> bool:
        return self.embeddings.chosen

    def scaled(self, factor: float) -> TabM:
        """Return the same with layers ``factor`` times as wide."""
        return replace(self, width=max(1, round(self.width * factor)))

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for rows of features; its representation is (n, members, width)."""
        import tabm
        from torch import nn

        from mtl_cli.models.layers import ACTIVATIONS

        embedded = self.embeddings.build(spec)
        chunks = [1] * spec.width if embedded is None else embedded.chunks
        packed = self.architecture == "packed"
        backbone = tabm.make_tabm_backbone(
            d_in=sum(chunks),
            n_blocks=self.layers,
            d_block=self.width,
            dropout=self.dropout,
            activation=ACTIVATIONS[self.activation].__name__,
            k=self.members,
            arch_type="tabm" if self.architecture == "tabm" else f"tabm-{self.architecture}",
            start_scaling_init=None if packed else "random-signs" if embedded is None else "normal",
            start_scaling_init_chunks=None if packed else chunks,
        )
        layers = [tabm.EnsembleView(k=self.members), backbone]
        return Trunk(
            nn.Sequential(*layers) if embedded is None else nn.Sequential(embedded, *layers),
            self.width,
            backbone.blocks[-1][0],
        )

    def linear(self, inputs: int, outputs: int) -> nn.Module:
        """Return a linear layer of a head, with weights for each member."""
        import tabm

        layer: nn.Module = tabm.LinearEnsemble(inputs, outputs, k=self.members)
        return layer
