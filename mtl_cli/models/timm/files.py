"""An image model as ``timm`` has it: with the weights of a folder, or with random ones."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import torch
from torch import nn

from mtl_cli.config.errors import UserError, did_you_mean
from mtl_cli.models.timm.settings import INSTALL, TimmKeys, read_config
from mtl_cli.models.tuning import LowRank

FILES = ["config.json", "*.safetensors"]
WHERE = "model.trunk.pretrained"
ATTENTION = "qkv"
"""What the matrices of attention are called in most of timm's transformers."""
OPERATORS = 8
"""Compiled operators of torchvision that may be missing before it is given up."""


class Backbone(NamedTuple):
    """A model, the channels that it reads, and their means and deviations in units of bytes."""

    model: nn.Module
    channels: int
    center: list[float]
    scale: list[float]


def weights_folder(config: TimmKeys) -> Path | None:
    """Return the folder of the pretrained weights, fetched if they are not here; None for random ones."""
    return config.weights_folder(FILES, "*.safetensors", INSTALL)


def import_timm() -> ModuleType:
    """Return ``timm``.

    It imports torchvision, of whose compiled operators it uses none. PyPI's torchvision is built for CUDA: beside a
    torch for the CPU they do not load, and the import fails with the name of one after the other. Each is declared, so
    that it goes on.
    """
    for _ in range(OPERATORS):
        try:
            import timm

            return timm  # type: ignore[no-any-return]
        except ImportError as error:
            raise UserError("model.trunk", f"timm cannot be imported: {error}", INSTALL) from error
        except RuntimeError as error:
            lacking = re.fullmatch(r"operator (torchvision::\w+) does not exist", str(error))
            if lacking is None:
                raise UserError("model.trunk", f"timm cannot be imported: {error}", INSTALL) from error
            torch.library.define(lacking[1], "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    raise UserError("model.trunk", "timm cannot be imported: this torchvision is for another torch", INSTALL)


def model_of(config: TimmKeys, folder: Path | None, size: tuple[int, int]) -> Backbone:
    """Return the model up to the vector of a whole image.

    Parameters
    ----------
    config : TimmKeys
    folder : Path, optional
        Of the weights; None for random ones.
    size : tuple of int
        The images' height and width. A transformer's positions are interpolated to it.

    Raises
    ------
    UserError
        If the folder lacks weights, timm knows no such model, or it cannot read images of this size.
    """
    timm = import_timm()
    known = config.known_architecture() if folder is None else read_config(folder, str(config.pretrained))
    if folder is not None and not any(folder.glob("*.safetensors")):
        raise UserError(WHERE, f"'{config.pretrained}' holds no weights", "they are a file model.safetensors")
    name, where = known["architecture"], "model.trunk.architecture" if folder is None else WHERE
    if not timm.is_model(name):
        raise UserError(where, f"timm {timm.__version__} knows no '{name}'", did_you_mean(name, timm.list_models()))
    inputs = known.get("pretrained_cfg") or timm.get_pretrained_cfg(name).to_dict()
    keys = dict(known.get("model_args") or {})
    if inputs.get("fixed_input_size"):
        keys["img_size"] = size
    source = name
    if folder is not None:
        source = f"local-dir:{folder}"
    elif "num_classes" in known:
        keys["num_classes"] = known["num_classes"]
    try:
        model: nn.Module = timm.create_model(source, pretrained=folder is not None, **keys)
    except (RuntimeError, ValueError, TypeError, KeyError, AssertionError, OSError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        what = f"'{config.pretrained if folder else name}' cannot be built for images of {size[0]} × {size[1]}"
        raise UserError(where, f"{what}: {' '.join(line.strip() for line in lines[:2])[:200]}") from error
    model.reset_classifier(0)  # type: ignore[operator]  # a method of every model of timm
    channels = int(keys.get("in_chans") or (inputs.get("input_size") or (3,))[0])
    center, scale = ([255 * float(value) for value in inputs[key]] for key in ("mean", "std"))
    return Backbone(model, channels, center, scale)


def usual_lora(model: nn.Module, config: TimmKeys) -> LowRank:
    """Return which layers LoRA changes: unless they are given, a transformer's queries, keys and values."""
    has_attention = any(name.endswith(f".{ATTENTION}") for name, _ in model.named_modules())
    return replace(config.lora, modules=[ATTENTION]) if config.lora.modules is None and has_attention else config.lora


def layers_of(model: nn.Module) -> list[list[str]]:
    """Return the names of the parameters of a model's layers, from the inputs on, as timm groups them."""
    from timm.models import group_parameters

    grouped = group_parameters(model, model.group_matcher(coarse=False))  # type: ignore[operator]
    return [names for _, names in sorted(grouped.items()) if names]
