"""How large a network may become, which is seen to while it is built: before its weights are filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from mtl_cli.config.errors import UserError
from mtl_cli.config.machine import free_memory, in_bytes, taking_memory

TRAINED = 6
"""Tensors to a parameter while training: itself, its gradient, two moments, its values in the last and best epoch."""
SMALLER = "fewer or narrower layers, such as model.trunk.hidden=[128,64]"


@contextmanager
def counted(check: Callable[[int], None]) -> Iterator[None]:
    """Show ``check`` how many bytes the parameters have that were made inside, whenever a layer gets one."""
    total = 0

    def count(module: nn.Module, name: str, parameter: torch.Tensor | None) -> None:
        nonlocal total
        if parameter is not None and counters[-1] is count:
            total += parameter.numel() * parameter.element_size()
            check(total)

    counters.append(count)
    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()
        counters.pop()


counters: list[Callable[..., None]] = []
"""One inside another: only the innermost counts."""


@contextmanager
def within_memory(copies: int = 1) -> Iterator[None]:
    """Refuse to build a network that the machine has no memory for.

    Parameters
    ----------
    copies : int
        Tensors of a parameter's size that there are to be, itself among them.
    """
    free = free_memory()

    def check(size: int) -> None:
        if free is not None and size * copies > free:
            what = (
                f"has {size // 4:,} parameters or more, which take {in_bytes(size * copies)}"
                f"{' to be trained' if copies > 1 else ''}, and {in_bytes(free)} of memory are free"
            )
            raise UserError("model", what, SMALLER)

    with taking_memory("the network", SMALLER), counted(check):
        yield
