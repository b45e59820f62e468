"""Whether anyone else's hook may see, or change, what a module reads, returns or sends back."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module


def is_hooked(module: nn.Module) -> bool:
    """Whether a hook is on the module, or on all modules."""
    return bool(
        module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    ) or bool(torch_module._has_any_global_hook())
