"""An encoder as ``transformers`` has it: with the weights of a folder, or with random ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.models.loading import load_pretrained
from mtl_cli.models.transformer.settings import INSTALL, TransformerKeys

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILES = ["config.json", "model*.safetensors*"]


def encoder_folder(config: TransformerKeys) -> Path | None:
    """Return the folder of the pretrained weights, fetched if they are not here; None for random ones."""
    return config.weights_folder(FILES, "model*.safetensors", INSTALL)


def encoder_of(config: TransformerKeys, folder: Path | None) -> PreTrainedModel:
    """Return the encoder without the part that makes one vector of a text.

    Raises
    ------
    UserError
        If the folder lacks weights, or holds what ``transformers`` cannot load.
    """
    try:
        from transformers import AutoConfig, AutoModel
    except ImportError as error:
        raise UserError("model.trunk", "transformer needs the package transformers", INSTALL) from error
    if folder is None:
        keys = dict(config.known_architecture())
        try:
            encoder = AutoModel.from_config(AutoConfig.for_model(keys.pop("model_type"), **keys))
        except (ValueError, TypeError, KeyError) as error:
            what = f"cannot be built: {str(error).strip().splitlines()[0]}"
            raise UserError("model.trunk.architecture", what) from error
    else:
        encoder = load_pretrained(AutoModel, folder, str(config.pretrained), unused="pooler")
    if "pooler" in dict(encoder.named_children()):  # its gradient would always be missing
        encoder.pooler = None
    found: PreTrainedModel = encoder
    return found


def layers_of(encoder: nn.Module) -> nn.ModuleList:
    """Return an encoder's layers: the longest list of modules in it."""
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=nn.ModuleList())


def positions_of(encoder: PreTrainedModel) -> int | None:
    """Return how many pieces an encoder can see at once; None if that is not limited, or not known."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # those that count positions from behind the padding's number, as RoBERTa does, never use the first ones
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    most = encoder.config.to_dict().get("max_position_embeddings")
    return most if isinstance(most, int) and most > 0 else None
