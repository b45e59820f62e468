"""ESM-2's weights: from a folder, from the Hugging Face hub when the user names a model there, or random ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mtl_cli.config.errors import UserError
from mtl_cli.data.hub import hub_folder
from mtl_cli.models.esm2.settings import INSTALL, SIZES, ESM2Keys, Size

if TYPE_CHECKING:
    from transformers import EsmModel

VOCABULARY = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
"""The tokens of the published models, in order."""
FILES = ["config.json", "vocab.txt", "model*.safetensors*"]


def weights_folder(config: ESM2Keys) -> Path:
    """Return the folder of the pretrained weights, fetched from the hub if they are not on this machine.

    Raises
    ------
    UserError
        If the hub cannot be reached, or has no such model.
    """
    if config.folder is not None:
        return config.folder
    name = str(config.pretrained)
    name = f"facebook/{name}" if name in SIZES else name
    return hub_folder(name, FILES, "model*.safetensors", "model.trunk.pretrained", INSTALL)


def backbone_of(size: Size, folder: Path | None, where: str) -> EsmModel:
    """Return ESM-2 as ``transformers`` has it, without the parts that make no representation.

    Raises
    ------
    UserError
        If the folder lacks weights, or has others.
    """
    try:
        from transformers import EsmConfig, EsmModel
    except ImportError as error:
        raise UserError("model.trunk", "esm2 needs the package transformers", INSTALL) from error
    vocabulary = size.vocabulary or VOCABULARY
    if folder is None:
        model = EsmModel(
            EsmConfig(
                vocab_size=len(vocabulary),
                pad_token_id=vocabulary.index("<pad>"),
                mask_token_id=vocabulary.index("<mask>"),
                hidden_size=size.width,
                num_hidden_layers=size.layers,
                num_attention_heads=size.heads,
                intermediate_size=size.inner or 4 * size.width,
                max_position_embeddings=size.positions,
                token_dropout=size.token_dropout,
                position_embedding_type="rotary",
                emb_layer_norm_before=False,
                layer_norm_eps=size.epsilon,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
            ),
            add_pooling_layer=False,
        )
    else:
        model = _load(EsmModel, folder, where)
    if model.config.vocab_size != len(vocabulary):
        what = f"'{where}' has {model.config.vocab_size} tokens, and a vocabulary of {len(vocabulary)}"
        raise UserError("model.trunk.pretrained", what, "its vocab.txt is missing, or of another model")
    del model.contact_head
    return model


def _load(cls: Any, folder: Path, where: str) -> EsmModel:
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # the language model's head and the contacts' are not of use here, and it says so
    logging.disable_progress_bar()
    try:
        model, info = cls.from_pretrained(
            folder,
            add_pooling_layer=False,
            dtype=torch.float32,
            local_files_only=True,
            ignore_mismatched_sizes=True,  # told below, but for those of the contacts' head
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError) as error:
        what = f"'{where}' cannot be loaded: {str(error).strip().splitlines()[0]}"
        raise UserError("model.trunk.pretrained", what) from error
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
    mismatched = [key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]]
    wrong = sorted(key for key in [*info["missing_keys"], *mismatched] if "contact_head" not in key)
    if wrong:
        what = f"'{where}' lacks weights that its config.json asks for; the first one missing is {wrong[0]}"
        raise UserError("model.trunk.pretrained", what)
    esm: EsmModel = model
    return esm
