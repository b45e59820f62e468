"""The keys of a pretrained encoder, without loading torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import UserError
from mtl_cli.io import user_path
from mtl_cli.models.tuning import TuningKeys

INSTALL = "pip install 'mtl-cli[text]'"


@dataclass(frozen=True, kw_only=True)
class TransformerKeys(TuningKeys):
    """What is read and trained of an encoder, and the layers above it, which are applied to each place.

    For ``tune``, ``last``, ``lora``, ``hidden``, ``activation`` and ``dropout`` see ``TuningKeys``.

    Parameters
    ----------
    pretrained : str or False
        A folder that ``save_pretrained`` wrote, with its tokenizer; or a name at the Hugging Face hub, which is asked
        only then, and only for what is not on this machine yet; False for random weights of ``architecture``.
    architecture : str or dict, optional
        Of random weights: the path of a ``config.json``, or what is in it. The tokenizer is then ``dataset.pieces``.
    window : int, optional
        The most pieces that it sees at once, marks included; None for as many as it can. A longer text is seen through
        windows that overlap by half, and each piece as in the one in whose middle it is.
    pooling : {"mean", "cls", "attention"}
        What tasks of whole texts read: a mean over the pieces, with equal or learnt weights, or the first mark.
    cache : bool or str
        Keep what a frozen encoder makes of a text in a folder, or with True in a folder of the user's.
    """

    window: PositiveInt | None = None
    pooling: Literal["mean", "cls", "attention"] = "mean"
    cache: bool | str = False

    def known_architecture(self) -> dict[str, Any]:
        """Return the content of the config.json of ``architecture``. Raises UserError if it is none."""
        where, found = "model.trunk.architecture", self.architecture
        if found is None:
            raise UserError(where, "needs a value: random weights of what?", f"{where}=FOLDER/config.json")
        if isinstance(found, str):
            file = user_path(found)
            if not file.is_file():
                raise UserError(where, f"there is no file '{found}'")
            try:
                found = json.loads(file.read_text(encoding="utf-8"))
            except ValueError as error:
                raise UserError(where, f"{file} is not JSON: {error}") from error
        if not isinstance(found, dict) or "model_type" not in found:
            raise UserError(where, "is not the config.json of an encoder: it lacks model_type")
        return found
