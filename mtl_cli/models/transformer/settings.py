"""The keys of a pretrained encoder, without loading torch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from mtl_cli.config.convert import PositiveFloat, PositiveInt, Probability
from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Activation
from mtl_cli.io import user_path

INSTALL = "pip install 'mtl-cli[text]'"


@dataclass(frozen=True)
class LowRank:
    """Low-rank changes W + (alpha / rank) B A of linear layers (Hu et al. 2022, arXiv 2106.09685).

    Parameters
    ----------
    rank : int
    alpha : float
    dropout : float
        Of what A reads.
    modules : list of str, optional
        What the layers are called in the encoder; None takes those that ``peft`` knows for its kind.
    """

    rank: PositiveInt = 8
    alpha: PositiveFloat = 16.0
    dropout: Probability = 0.0
    modules: list[str] | None = None


@dataclass(frozen=True, kw_only=True)
class TransformerKeys:
    """What is read and trained of an encoder, and the layers above it.

    Parameters
    ----------
    pretrained : str or False
        A folder that ``save_pretrained`` wrote, with its tokenizer; or a name at the Hugging Face hub, which is asked
        only then, and only for what is not on this machine yet; False for random weights of ``architecture``.
    architecture : str or dict, optional
        Of random weights: the path of a ``config.json``, or what is in it. The tokenizer is then ``dataset.pieces``.
    tune : {"frozen", "last", "all", "lora"}
        What is trained of it.
    last : int
        With ``tune: last``, how many of its layers, from the top.
    lora : LowRank
        With ``tune: lora``.
    window : int, optional
        The most pieces that it sees at once, marks included; None for as many as it can. A longer text is seen through
        windows that overlap by half, and each piece as in the one in whose middle it is.
    hidden : list of int
        Widths of further layers, which are always trained, applied to each place and shared by all tasks.
    activation : {"relu", "gelu", "silu", "tanh", "leaky_relu", "identity"}
    dropout : float
        Behind each of the further layers.
    pooling : {"mean", "cls", "attention"}
        What tasks of whole texts read: a mean over the pieces, with equal or learnt weights, or the first mark.
    cache : bool or str
        Keep what a frozen encoder makes of a text in a folder, or with True in a folder of the user's.
    """

    pretrained: str | bool
    architecture: str | dict[str, Any] | None = None
    tune: Literal["frozen", "last", "all", "lora"] = "frozen"
    last: PositiveInt = 2
    lora: LowRank = field(default_factory=LowRank)
    window: PositiveInt | None = None
    hidden: list[PositiveInt] = field(default_factory=lambda: [128])
    activation: Activation = "gelu"
    dropout: Probability = 0.1
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
                raise UserError(where, f"{file} is no JSON: {error}") from error
        if not isinstance(found, dict) or "model_type" not in found:
            raise UserError(where, "is no config.json of an encoder: it lacks model_type")
        return found
