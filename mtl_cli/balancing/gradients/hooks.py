"""Whether anyone's hook may see, or change, what a module reads, returns or sends back, or a parameter's gradient."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import module as torch_module


def is_hooked(*modules: nn.Module) -> bool:
    """Whether a hook is on one of the modules, on a parameter of theirs, or on all modules that there are."""
    everywhere: bool = torch_module._has_any_global_hook()  # type: ignore[no-untyped-call]
    return everywhere or any(
        m._forward_hooks
        or m._forward_pre_hooks
        or m._backward_hooks
        or m._backward_pre_hooks
        or any(p is not None and p._backward_hooks for p in m._parameters.values())
        for m in modules
    )
