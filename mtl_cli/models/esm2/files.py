"""ESM-2's weights: from a folder, from the Hugging Face hub when the user names a model there, or random ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.config.errors import UserError
from mtl_cli.data.hub import hub_folder
from mtl_cli.models.esm2.settings import INSTALL, SIZES, ESM2Keys, Size
from mtl_cli.models.loading import load_pretrained

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
        # weights of another shape are missing ones, except those of the head for contacts
        keys = {"add_pooling_layer": False, "ignore_mismatched_sizes": True}
        model = load_pretrained(EsmModel, folder, where, unused="contact_head", **keys)
    if model.config.vocab_size != len(vocabulary):
        what = f"'{where}' has {model.config.vocab_size} tokens, and a vocabulary of {len(vocabulary)}"
        raise UserError("model.trunk.pretrained", what, "its vocab.txt is missing, or of another model")
    del model.contact_head
    return model
