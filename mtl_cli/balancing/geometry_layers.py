"""The gradients on a layer's parameters, from what the layer read and the gradients at what it returned.

Everything is brought to rows first: n rows of features for a linear layer, n · L for one that is applied at L places.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from mtl_cli.balancing.geometry_parts import Dense, Part, TableRows, product
from mtl_cli.balancing.geometry_trace import Call, has_other_hooks
from mtl_cli.balancing.precision import full

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_NORMS = (nn.LayerNorm, nn.BatchNorm1d, nn.BatchNorm2d)
_CHANNELS_SECOND = (nn.Conv1d, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d)
Batch = nn.BatchNorm1d | nn.BatchNorm2d
Conv = nn.Conv1d | nn.Conv2d


def is_known(call: Call) -> bool:
    """Whether the module's parameters are used in the way that its class says, and only there."""
    module = call.module
    known = _KNOWN.get(type(module))
    batched = (
        call.output.dim() == call.input.dim() + isinstance(module, nn.Embedding) >= 2
        and call.input.layout == torch.strided
    )
    return known is not None and batched and call.intact and not has_other_hooks(module) and known(module)


def parts(call: Call, deltas: torch.Tensor) -> list[Part]:
    """Return the T gradients on each of the module's parameters that is trained.

    Parameters
    ----------
    call : Call
        For which ``is_known`` holds.
    deltas : Tensor of shape (T, rows, features)
        The gradients at the module's output, as ``rows`` lays it out.
    """
    module = call.module
    if isinstance(module, nn.Embedding):
        return _table(module, call.input, deltas)
    if isinstance(module, _NORMS):
        return affine(module, normalised(module, full(call.input)), deltas)
    read = full(call.input)
    inputs = _patches(module, read) if isinstance(module, _CONVOLUTIONS) else rows(module, read)
    found: list[Part] = []
    weight, bias = module._parameters["weight"], module._parameters["bias"]
    assert weight is not None
    if weight.requires_grad:
        found.append(product(weight, inputs, deltas))
    if bias is not None and bias.requires_grad:
        found.append(Dense(bias, deltas.sum(1)))
    return found


def rows(module: nn.Module, tensor: torch.Tensor) -> torch.Tensor:
    """Lay out a module's output (or a gradient at it) as rows of features, shape (rows, features)."""
    if isinstance(module, _CHANNELS_SECOND):
        return tensor.movedim(1, -1).reshape(-1, tensor.shape[1]) if tensor.dim() > 2 else tensor
    if isinstance(module, nn.LayerNorm):
        return tensor.flatten(-len(module.normalized_shape)).flatten(0, -2)
    return tensor.flatten(0, -2) if tensor.dim() > 2 else tensor


def normalised(module: nn.LayerNorm | Batch, tensor: torch.Tensor) -> torch.Tensor:
    """Return what the module made of its input before its own weight and bias, as rows."""
    if isinstance(module, nn.LayerNorm):
        return rows(module, F.layer_norm(tensor, module.normalized_shape, eps=module.eps))
    training = module.training or module.running_mean is None
    mean, variance = (None, None) if training else (module.running_mean, module.running_var)
    return rows(module, F.batch_norm(tensor, mean, variance, training=training, eps=module.eps))


def affine(module: nn.LayerNorm | Batch, values: torch.Tensor, deltas: torch.Tensor) -> list[Part]:
    """Return the gradients on a norm layer's weight and bias; ``values`` is what ``normalised`` gave."""
    found: list[Part] = []
    weight, bias = module._parameters["weight"], module._parameters["bias"]
    if weight is not None and weight.requires_grad:
        found.append(Dense(weight, (deltas * values).sum(1)))
    if bias is not None and bias.requires_grad:
        found.append(Dense(bias, deltas.sum(1)))
    return found


def _patches(module: Conv, tensor: torch.Tensor) -> torch.Tensor:
    """Return what each output place of a convolution saw, shape (n · places, channels · kernel)."""
    if isinstance(module, nn.Conv1d):
        tensor = tensor.unsqueeze(2)
    kernel, stride = _pair(module.kernel_size), _pair(module.stride)
    padding, dilation = _pair(module.padding, 0), _pair(module.dilation)
    patches = F.unfold(tensor, kernel, dilation, padding, stride)
    return patches.transpose(1, 2).reshape(-1, patches.shape[1])


def _pair(size: tuple[int, ...] | str, first: int = 1) -> tuple[int, int]:
    """Return a size as height and width; a one-dimensional convolution has height 1."""
    assert not isinstance(size, str)
    return (size[0], size[1]) if len(size) == 2 else (first, size[0])


def _table(module: nn.Embedding, index: torch.Tensor, deltas: torch.Tensor) -> list[Part]:
    table = module._parameters["weight"]
    assert table is not None
    if not table.requires_grad:
        return []
    entries, position = torch.unique(index, return_inverse=True)
    if module.padding_idx is not None:
        deltas = deltas * (index.reshape(-1, 1) != module.padding_idx)
    values = deltas.new_zeros(len(deltas), len(entries), deltas.shape[2])
    values.index_add_(1, position.reshape(-1), deltas)
    return [TableRows(table, entries, values)]


def _plain_convolution(module: nn.Module) -> bool:
    assert isinstance(module, nn.Conv1d | nn.Conv2d)
    return module.groups == 1 and module.padding_mode == "zeros" and not isinstance(module.padding, str)


def _plain_embedding(module: nn.Module) -> bool:
    assert isinstance(module, nn.Embedding)
    return not (module.scale_grad_by_freq or module.sparse or module.max_norm is not None)


def _always(module: nn.Module) -> bool:
    return True


_KNOWN: dict[type[nn.Module], Callable[[nn.Module], bool]] = {  # exact classes: a subclass may do anything
    nn.Linear: _always,
    nn.LayerNorm: _always,
    nn.BatchNorm1d: _always,
    nn.BatchNorm2d: _always,
    nn.Conv1d: _plain_convolution,
    nn.Conv2d: _plain_convolution,
    nn.Embedding: _plain_embedding,
}
