"""What the shared layers read and returned in one forward pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch


class Call(NamedTuple):
    """One call of a module without children. ``versions`` tells whether its tensors were since changed in place."""

    module: torch.nn.Module
    input: torch.Tensor
    output: torch.Tensor
    versions: tuple[int, int]

    @property
    def intact(self) -> bool:
        """Whether input and output still hold what the module read and returned."""
        return self.versions == (self.input._version, self.output._version)


class Trace:
    """Records calls of modules with parameters and without children between ``with trace:`` and ``clear``.

    Only calls are of use at whose output a gradient has no more numbers than one on the parameters: of the others, as
    of convolutions of large images, autograd had better make the latter, or all tasks' gradients at all outputs would
    be held at once. The hooks stay on the modules, where they do nothing outside ``with``.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.recording = False
        self._watching = False

    def watch(self, modules: Iterable[torch.nn.Module]) -> None:
        """Put the hooks on, once; modules that have children, or no parameters, are passed over."""
        if not self._watching:
            self._watching = True
            for module in modules:
                if module._parameters and not module._modules:
                    module.register_forward_hook(_Hook(self))

    def __enter__(self) -> Trace:
        self.calls = []
        self.recording = True
        return self

    def __exit__(self, *error: object) -> None:
        self.recording = False

    def clear(self) -> None:
        """Let go of the tensors."""
        self.calls = []


class _Hook:
    """A forward hook that can be told from other hooks, which may change what a module returns."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace

    def __call__(self, module: torch.nn.Module, arguments: tuple[Any, ...], output: Any) -> None:
        if not self.trace.recording:
            return
        source = arguments[0] if len(arguments) == 1 else None
        if not isinstance(source, torch.Tensor) or not isinstance(output, torch.Tensor):
            return
        if output.numel() <= sum(p.numel() for p in module.parameters() if p.requires_grad):
            self.trace.calls.append(Call(module, source, output, (source._version, output._version)))


def has_other_hooks(module: torch.nn.Module) -> bool:
    """Whether anyone else's hook may change what the module reads, returns or sends back."""
    if module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks:
        return True
    hooks = module._forward_hooks
    return bool(hooks) and any(not isinstance(hook, _Hook) for hook in hooks.values())


def uses(roots: Iterable[torch.Tensor]) -> Counter[int]:
    """Return how often each parameter, by its id, enters the graph that leads to ``roots``.

    A parameter that a module's call explains enters once; any further use (tied weights, a second call, a weight that
    is read directly) shows here.
    """
    counts: Counter[int] = Counter()
    waiting = [root.grad_fn for root in roots if root.grad_fn is not None]
    seen = set(waiting)
    while waiting:
        for function, _ in waiting.pop().next_functions:
            if function is None:
                continue
            variable = getattr(function, "variable", None)
            if variable is not None:
                counts[id(variable)] += 1
            elif function not in seen:
                seen.add(function)
                waiting.append(function)
    return counts
