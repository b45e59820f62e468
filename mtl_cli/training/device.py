"""Choosing a device, and making two runs with one seed equal."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.data.inputs import Inputs


def choose_device(name: str) -> torch.device:
    """Return the device called ``name``; ``auto`` is cuda, then mps, then cpu.

    Convolutions on cuda keep all of float32, as products of matrices do, so that a prediction does not hang on the
    rows beside it: torch's own default there is TF32, which has 10 bits after the point.

    Raises
    ------
    UserError
        If this machine has no such device.
    """
    torch.backends.cudnn.allow_tf32 = False
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return torch.device(next(device for device, there in found.items() if there))
    if not found[name]:
        there = ", ".join(device for device, is_there in found.items() if is_there)
        raise UserError("device", f"there is no {name} device on this machine", f"there is {there}")
    return torch.device(name)


_ALL_THREADS = torch.get_num_threads()
SMALL_STEP = 2**24
"""Multiply-adds of a step below which threads cost more than they bring, and far more on a busy machine."""


def choose_threads(rows: int, work: int) -> None:
    """Use one thread for a small model's steps, torch's own number for a larger one's.

    Parameters
    ----------
    rows : int
        In a batch.
    work : int
        Multiply-adds per row, as ``multiply_adds`` counts them.
    """
    torch.set_num_threads(1 if rows * work < SMALL_STEP else _ALL_THREADS)


@torch.no_grad()
def multiply_adds(model: nn.Module, inputs: Inputs) -> int:
    """Count the multiply-adds of a forward pass of one row.

    A layer's weight, (outputs, …), is used at each place of its output: once in a linear layer, at every pixel in a
    convolution. A parameter that is no such weight counts once.

    Parameters
    ----------
    model : Module
    inputs : Tensor, or tuple of them
        A row.
    """
    places: dict[int, float] = {}

    def count(module: nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        weight = module._parameters.get("weight")
        if weight is not None and weight.dim() > 1 and isinstance(output, torch.Tensor):
            places[id(weight)] = places.get(id(weight), 0.0) + output.numel() / len(weight)

    was_training = model.training
    hooks = [module.register_forward_hook(count) for module in model.modules()]
    try:
        model.eval()(inputs)
    finally:
        model.train(was_training)
        for hook in hooks:
            hook.remove()
    return int(sum(parameter.numel() * places.get(id(parameter), 1.0) for parameter in model.parameters()))


def seed_everything(seed: int, device: torch.device) -> None:
    """Seed every generator and undo what an earlier run in this process set; on CUDA ask for deterministic kernels."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float32)
    if device.type == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
