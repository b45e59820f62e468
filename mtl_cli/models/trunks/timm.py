"""A pretrained image model of timm as the shared trunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.models.timm.settings import INSTALL, TimmKeys, read_config
from mtl_cli.models.trunk import Trunk, TrunkConfig

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec


@component("trunk", "timm")
@dataclass(frozen=True, kw_only=True)
class Timm(TimmKeys, TrunkConfig):
    """Any image model that ``timm`` knows (Wightman 2019, doi 10.5281/zenodo.4414861), and layers of our own above it.

    See ``TimmKeys`` for the parameters.
    """

    accepts: ClassVar[tuple[str, ...]] = ("image",)
    training_only: ClassVar[tuple[str, ...]] = (*TrunkConfig.training_only, "last")

    @property
    def smallest_batch(self) -> int:
        """Two where norms of it may be trained: batch norm has no variance for one."""
        return 1 if self.tune in ("frozen", "lora") else 2

    @property
    def output_width(self) -> int | None:
        """The width of the representation; None if that is the model's."""
        return self.hidden[-1] if self.hidden else None

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield what is wrong, without asking a hub for anything."""
        yield from self.tuning_problems("timm", ["timm"], INSTALL)
        if self.pretrained is False:
            try:
                self.known_architecture()
            except UserError as error:
                yield from error.problems

    def settled(self) -> Timm:
        """Return a config that builds the same layers from nothing, for a file that holds their weights."""
        from mtl_cli.models.timm.files import weights_folder

        folder = weights_folder(self)
        if folder is None:
            return replace(self, architecture=self.known_architecture())
        return replace(self, pretrained=False, architecture=read_config(folder, str(self.pretrained)))

    def build(self, spec: InputSpec) -> Trunk:
        """Build the trunk. Raises UserError if there are no weights, or for images that the model cannot read."""
        import torch

        from mtl_cli.models.pretrained import last_trained, set_trained
        from mtl_cli.models.timm.files import layers_of, model_of, usual_lora, weights_folder
        from mtl_cli.models.timm.layers import TimmTrunk

        channels, height, width = spec.shape
        model, reads, center, scale = model_of(self, weights_folder(self), (height, width))
        if channels not in (1, reads):
            what = f"reads images of {reads} channels, and these have {channels}"
            raise UserError("model.trunk", what, "dataset.colour=false reads them in grey" if reads == 1 else None)
        with torch.no_grad():
            try:
                inner = model.eval()(torch.zeros(1, reads, height, width)).shape[1]
            except (RuntimeError, ValueError, AssertionError) as error:
                first = str(error).strip().splitlines()[0]
                what = f"cannot read images of {height} × {width}: {first}"
                raise UserError("model.trunk", what, "dataset.size=224 is what most of timm's read") from error
        parameters = dict(model.named_parameters())
        layers = [[parameters[name] for name in names] for names in layers_of(model)] if self.tune == "last" else []
        set_trained(model, layers, self, usual_lora(model, self), type(model).__name__, INSTALL)
        module = TimmTrunk(model, self, inner, reads, center, scale)
        return Trunk(module, module.width, module.last_hidden or last_trained(model))
