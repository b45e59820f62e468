"""An encoder as ``transformers`` has it: with the weights of a folder, or with random ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.models.transformer.settings import INSTALL, TransformerKeys
from mtl_cli.models.tuning import add_low_rank

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FILES = ["config.json", "model*.safetensors*"]
WHERE = "model.trunk.pretrained"


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
        encoder = _load(AutoModel, folder, str(config.pretrained))
    if "pooler" in dict(encoder.named_children()):  # its gradient would always be missing
        encoder.pooler = None
    found: PreTrainedModel = encoder
    return found


def _load(auto: Any, folder: Path, where: str) -> PreTrainedModel:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # a head that is not of use here is no news
    logging.disable_progress_bar()
    try:
        model, info = auto.from_pretrained(folder, dtype=torch.float32, local_files_only=True, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise UserError(WHERE, f"'{where}' cannot be loaded: {str(error).strip().splitlines()[0]}") from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    if lacking := sorted(key for key in info["missing_keys"] if "pooler" not in key):
        what = f"'{where}' lacks weights that its config.json asks for; the first one missing is {lacking[0]}"
        raise UserError(WHERE, what)
    found: PreTrainedModel = model
    return found


def layers_of(encoder: nn.Module) -> nn.ModuleList:
    """Return an encoder's layers: the longest list of modules in it."""
    lists = [module for module in encoder.modules() if isinstance(module, nn.ModuleList)]
    return max(lists, key=len, default=nn.ModuleList())


def set_trained(encoder: PreTrainedModel, config: TransformerKeys) -> None:
    """Mark the parameters that are trained, adding those of LoRA. Raises UserError if it finds no layer to add to."""
    encoder.requires_grad_(config.tune == "all")
    if config.tune == "last":
        layers = layers_of(encoder)
        if config.last > len(layers):
            raise UserError("model.trunk.last", f"is {config.last}, and there are {len(layers)} layers")
        layers[-config.last :].requires_grad_(True)
    if config.tune == "lora":
        add_low_rank(encoder, config.lora, encoder.config.model_type, INSTALL)


def positions_of(encoder: PreTrainedModel) -> int | None:
    """Return how many pieces an encoder can see at once; None if that is not limited, or not known."""
    for name, module in encoder.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # those that count positions from behind the padding's number, as RoBERTa does, never use the first ones
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    most = encoder.config.to_dict().get("max_position_embeddings")
    return most if isinstance(most, int) and most > 0 else None
