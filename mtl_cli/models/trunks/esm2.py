"""ESM-2, a language model of proteins, as the shared trunk."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.models.esm2.settings import INSTALL, LONGEST, ESM2Keys, read_size
from mtl_cli.models.trunk import Trunk, TrunkConfig
from mtl_cli.tasks.task import Level

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "esm2")
@dataclass(frozen=True, kw_only=True)
class ESM2(ESM2Keys, TrunkConfig):
    """ESM-2 (Lin et al. 2023, doi 10.1126/science.ade2574) by way of ``transformers``, and layers of our own above it.

    See ``ESM2Keys`` for the parameters.
    """

    accepts: ClassVar[tuple[str, ...]] = ("sequence",)
    levels: ClassVar[tuple[Level, ...]] = ("row", "token")
    training_only: ClassVar[tuple[str, ...]] = (*TrunkConfig.training_only, "last", "cache")

    @property
    def longest(self) -> int | None:
        """The most residues of a sequence; None if the size is wrong, which ``check`` reports."""
        try:
            size = self.known_size()
        except UserError:
            return None
        return LONGEST if size is None else size.longest

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong, without asking a hub for anything."""
        for package, needed in (("transformers", True), ("peft", self.tune == "lora")):
            if needed and importlib.util.find_spec(package) is None:
                yield Problem("model.trunk", f"esm2 needs the package {package}", INSTALL)
        if self.cache and self.tune != "frozen":
            what = f"stores the output of a frozen ESM-2, but tune={self.tune} changes it"
            yield Problem("model.trunk.cache", what, "model.trunk.cache=false")
        if self.tune == "lora" and not self.lora.modules:
            yield Problem("model.trunk.lora.modules", "is empty", "give [query, value]")
        try:
            size = self.known_size()
        except UserError as error:
            yield from error.problems
            return
        if self.pretrained is False and self.tune in ("frozen", "lora"):
            what = f"{self.tune} leaves ESM-2's own weights as they are, and without pretrained ones they are random"
            yield Problem("model.trunk.tune", what, "model.trunk.tune=all, or model.trunk.pretrained=FOLDER")
        if size is not None and self.tune == "last" and self.last > size.layers:
            yield Problem("model.trunk.last", f"is {self.last}, and there are {size.layers} layers")

    def settled(self) -> ESM2:
        """Return a config that builds the same layers from nothing, for a file that holds their weights."""
        from mtl_cli.models.esm2.files import weights_folder

        if self.pretrained is False:
            return self
        return replace(self, pretrained=False, size=read_size(weights_folder(self), str(self.pretrained)))

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk for sequences of the tokens that ``spec`` names. Raises UserError if there are no weights."""
        from mtl_cli.models.esm2.files import backbone_of, weights_folder
        from mtl_cli.models.esm2.layers import ESM2Trunk
        from mtl_cli.models.pretrained import last_trained, set_trained
        from mtl_cli.models.tuning import LowRank

        if spec.complement:
            what = "ESM-2 reads proteins, and these sequences are of bases"
            raise UserError("model.trunk", what, "model=sequence_cnn or sequence_kmers, or dataset.alphabet=protein")
        folder = None if self.pretrained is False else weights_folder(self)
        size = self.known_size() if folder is None else read_size(folder, str(self.pretrained))
        assert size is not None
        backbone = backbone_of(size, folder, str(self.pretrained))
        layers = [[*layer.parameters()] for layer in backbone.encoder.layer]
        layers[-1] += backbone.encoder.emb_layer_norm_after.parameters()
        lora = LowRank(self.lora.rank, self.lora.alpha, self.lora.dropout, [*self.lora.modules])
        set_trained(backbone, layers, self, lora, "esm", INSTALL)
        module = ESM2Trunk(backbone, self, spec.names, size)
        return Trunk(module, module.width, module.last_hidden or last_trained(backbone))
