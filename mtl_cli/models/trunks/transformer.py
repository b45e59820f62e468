"""A pretrained encoder of texts as the shared trunk."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.models.transformer.settings import INSTALL, TransformerKeys
from mtl_cli.models.trunk import Trunk, TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "transformer")
@dataclass(frozen=True, kw_only=True)
class Transformer(TransformerKeys, TrunkConfig):
    """Any encoder that ``transformers`` knows, such as BERT, and layers of our own above it.

    See ``TransformerKeys`` for the parameters.
    """

    accepts: ClassVar[tuple[str, ...]] = ("pieces",)
    levels: ClassVar[tuple[Level, ...]] = ("row", "token")
    training_only: ClassVar[tuple[str, ...]] = (*TrunkConfig.training_only, "last", "cache")

    @property
    def pieces(self) -> str | None:
        """The tokenizer's folder or name: that of the pretrained weights."""
        return self.pretrained if isinstance(self.pretrained, str) else None

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong, without asking a hub for anything."""
        yield from self.tuning_problems("transformer", ["transformers"], INSTALL)
        if self.cache and self.tune != "frozen":
            what = f"stores the output of a frozen encoder, but tune={self.tune} changes it"
            yield Problem("model.trunk.cache", what, "model.trunk.cache=false")
        if self.pretrained is False:
            try:
                self.known_architecture()
            except UserError as error:
                yield from error.problems

    def settled(self) -> Transformer:
        """Return a config that builds the same layers from nothing, for a file that holds their weights."""
        from mtl_cli.models.transformer.files import encoder_folder

        folder = encoder_folder(self)
        if folder is None:
            return replace(self, architecture=self.known_architecture())
        text = (folder / "config.json").read_text(encoding="utf-8")
        return replace(self, pretrained=False, architecture=json.loads(text))

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for pieces of words. Raises UserError if there are no weights, or for other pieces."""
        from mtl_cli.models.pretrained import last_trained, set_trained
        from mtl_cli.models.transformer.files import encoder_folder, encoder_of, layers_of
        from mtl_cli.models.transformer.layers import TransformerTrunk

        encoder = encoder_of(self, encoder_folder(self))
        known = int(encoder.config.vocab_size)
        if known < spec.shape[0]:
            what = f"knows {known} pieces, and the tokenizer makes {spec.shape[0]}"
            raise UserError("model.trunk.pretrained", what, "its tokenizer is that of another model")
        layers = [[*layer.parameters()] for layer in layers_of(encoder)]
        set_trained(encoder, layers, self, self.lora, encoder.config.model_type, INSTALL)
        module = TransformerTrunk(encoder, self, spec)
        return Trunk(module, module.width, module.last_hidden or last_trained(encoder))
