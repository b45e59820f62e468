"""The keys of a pretrained image model, without loading torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.data import hub
from mtl_cli.models.tuning import TuningKeys

INSTALL = "pip install 'mtl-cli[vision]'"


@dataclass(frozen=True, kw_only=True)
class TimmKeys(TuningKeys):
    """What is read and trained of an image model, and the layers above what it makes of a whole image.

    For ``tune``, ``lora``, ``hidden``, ``activation`` and ``dropout`` see ``TuningKeys``.

    Parameters
    ----------
    pretrained : str or False
        A folder with ``config.json`` and ``model.safetensors``, as the Hugging Face hub keeps a timm model; or a name
        there, which is asked for only then, and only for what is not on this machine yet; False for random weights of
        ``architecture``.
    architecture : str or dict, optional
        Of random weights: a name that timm knows, such as ``resnet18``, or what is in a ``config.json``.
    last : int
        With ``tune: last``, how many of its layers, as timm groups them, from the top.
    """

    def known_architecture(self) -> dict[str, Any]:
        """Return what a ``config.json`` says of the random weights' architecture. Raises UserError if nothing does."""
        where, found = "model.trunk.architecture", self.architecture
        if found is None:
            raise UserError(where, "needs a value: random weights of what?", f"{where}=resnet18")
        found = {"architecture": found} if isinstance(found, str) else found
        if not isinstance(found.get("architecture"), str):
            raise UserError(where, "is not the config.json of a timm model: it lacks architecture")
        return found


def read_config(folder: Path, where: str) -> dict[str, Any]:
    """Return the config.json of a folder. Raises UserError if it holds none of a timm model."""
    found: Any = hub.read_config(folder, where, "give a folder as the hub keeps a timm model")
    if not isinstance(found, dict) or not isinstance(found.get("architecture"), str):
        what = f"the config.json of '{where}' is of no timm model: it names no architecture"
        raise UserError("model.trunk.pretrained", what)
    return found
