"""A pretrained encoder of texts as the shared trunk."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.data.hub import is_hub_name, local_folder
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

    @property
    def shares_layers(self) -> bool:
        """Whether any layer that all tasks share is trained, which balancers that look at gradients need."""
        return self.tune != "frozen" or bool(self.hidden)

    def free_keys(self, other: Transformer) -> tuple[str, ...]:
        """Return the keys that may differ from those of ``other`` too: only LoRA adds to the layers."""
        return () if "lora" in (self.tune, other.tune) else ("tune", "lora")

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong, without asking a hub for anything."""
        for package, needed in (("transformers", True), ("peft", self.tune == "lora")):
            if needed and importlib.util.find_spec(package) is None:
                yield Problem("model.trunk", f"transformer needs the package {package}", INSTALL)
        if self.cache and self.tune != "frozen":
            what = f"stores the output of a frozen encoder, but tune={self.tune} changes it"
            yield Problem("model.trunk.cache", what, "model.trunk.cache=false")
        if self.lora.modules == []:
            yield Problem("model.trunk.lora.modules", "is empty", "null takes those that peft knows")
        if self.pretrained is True:
            yield Problem("model.trunk.pretrained", "true does not say which weights", "give a folder")
        name = self.pretrained if isinstance(self.pretrained, str) else None
        if name is not None and local_folder(name) is None and not (is_hub_name(name) and "/" in name):
            what = f"there is no folder '{name}'"
            yield Problem("model.trunk.pretrained", what, "a name at the Hugging Face hub is OWNER/NAME")
        if self.pretrained is False:
            if self.tune in ("frozen", "lora"):
                what = (
                    f"{self.tune} leaves the encoder's weights as they are, and without pretrained ones they are random"
                )
                yield Problem("model.trunk.tune", what, "model.trunk.tune=all, or model.trunk.pretrained=FOLDER")
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
        from mtl_cli.models.transformer.files import encoder_folder, encoder_of, last_trained, set_trained
        from mtl_cli.models.transformer.layers import TransformerTrunk

        encoder = encoder_of(self, encoder_folder(self))
        known = int(encoder.config.vocab_size)
        if known < spec.shape[0]:
            what = f"knows {known} pieces, and the tokenizer makes {spec.shape[0]}"
            raise UserError("model.trunk.pretrained", what, "its tokenizer is that of another model")
        set_trained(encoder, self)
        module = TransformerTrunk(encoder, self, spec)
        return Trunk(module, module.width, module.last_hidden or last_trained(encoder))
