"""A multi-layer perceptron as the shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt, Probability
from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Activation
from mtl_cli.models.embeddings import Embeddings
from mtl_cli.models.trunk import Trunk, TrunkConfig

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "mlp")
@dataclass(frozen=True, kw_only=True)
class MLP(TrunkConfig):
    """Linear layers, each followed by a norm, an activation and dropout.

    Parameters
    ----------
    hidden : list of int
        The width of each layer; empty passes the inputs straight to the heads.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    norm : {"none", "batch", "layer"}
    dropout : float
        The share of units set to zero in training.
    embeddings : Embeddings
        Of the inputs that are numbers.
    """

    hidden: list[PositiveInt] = field(default_factory=lambda: [128, 64])
    activation: Activation = "relu"
    norm: Literal["none", "batch", "layer"] = "none"
    dropout: Probability = 0.2
    embeddings: Embeddings = field(default_factory=lambda: Embeddings(kind="auto"))

    accepts: ClassVar[tuple[str, ...]] = ("features", "image")
    staged: ClassVar[Literal["rows", "maps"] | None] = "rows"
    can_scale: ClassVar[bool] = True

    @property
    def shares_layers(self) -> bool:
        return bool(self.hidden)

    @property
    def smallest_batch(self) -> int:
        return 2 if self.norm == "batch" and self.hidden else 1

    @property
    def output_width(self) -> int | None:
        """The width of the representation; None if that is the inputs'."""
        return self.hidden[-1] if self.hidden else None

    @property
    def embeds_numbers(self) -> bool:
        return self.embeddings.chosen

    def scaled(self, factor: float) -> MLP:
        """Return the same with layers ``factor`` times as wide."""
        return replace(self, hidden=[max(1, round(width * factor)) for width in self.hidden])

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what keeps this trunk from being built."""
        yield from self.embeddings.check()

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for rows of features, or for images, which it reads as one long row."""
        from torch import nn

        from mtl_cli.models.bins import Bins
        from mtl_cli.models.layers import Normalise, mlp_layers

        embedded = self.embeddings.build(spec)
        inputs = spec.width if embedded is None else sum(embedded.chunks)
        layers, linears = mlp_layers(inputs, self.hidden, self.activation, self.norm, self.dropout)
        if isinstance(embedded, Bins) and linears:
            embedded.start(linears[0])
        if embedded is not None:
            layers = nn.Sequential(embedded, *layers)
        if spec.kind == "image":
            layers = nn.Sequential(Normalise(spec.center, spec.scale), nn.Flatten(), *layers)
        return Trunk(layers, self.hidden[-1] if self.hidden else inputs, linears[-1] if linears else None)

    def stages(self, spec: InputSpec) -> list[Trunk]:
        """Build it a hidden layer at a time."""
        from mtl_cli.data.inputs import InputSpec

        found: list[Trunk] = []
        embeddings = self.embeddings
        for width in self.hidden:
            found.append(replace(self, hidden=[width], embeddings=embeddings).build(spec))
            embeddings = Embeddings()
            spec = InputSpec("features", (width,))
        return found
