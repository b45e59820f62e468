"""Backward passes from gradients that are known, by autograd's engine.

``torch.autograd.backward`` and ``grad`` hand what they are given to this engine, and first compare the shapes of
tensors and gradients in a way that also suits symbolic shapes. For that they import sympy, which takes 0.35 s of every
run's CPU time, and 15 µs of every pass. Here both shapes come from the same loss, and the engine itself refuses those
that differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.autograd import Variable


def backward(
    tensors: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor] = ()
) -> None:
    """Send gradients back into ``.grad``, as ``torch.autograd.backward`` does.

    Parameters
    ----------
    tensors, gradients : sequence of Tensor
        Where they are sent from, and what, in the same shapes.
    inputs : sequence of Tensor
        Where they are to land; if empty, wherever they come.
    """
    Variable._execution_engine.run_backward(
        tuple(tensors), tuple(gradients), False, False, tuple(inputs), allow_unreachable=True, accumulate_grad=True
    )


def grad(tensor: torch.Tensor, wanted: Sequence[torch.Tensor], gradient: torch.Tensor) -> list[torch.Tensor | None]:
    """Return what of a gradient arrives at ``wanted``, None where nothing does; the graph is kept.

    As ``torch.autograd.grad`` with ``retain_graph`` and ``allow_unused``.
    """
    found: tuple[torch.Tensor | None, ...] = Variable._execution_engine.run_backward(
        (tensor,), (gradient,), True, False, tuple(wanted), allow_unreachable=True, accumulate_grad=False
    )
    return list(found)
