"""A step of a method that needs no Gramian never asks a device for a number.

Where there is no GPU, it shows in the calls that would wait for one.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_cli.config.registry import components
from tests.balancing.test_step import make, make_batch, positive

METHODS = [
    name
    for name, cls in components("balancer").items()
    if cls.needs in ("losses", "norms", "jacobian") and name != "static"
]


class NoWaiting(TorchDispatchMode):
    """Fails where a number is read; whole numbers are allowed, such as an epoch kept on the CPU."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default and args[0].dtype != torch.int64:
            raise AssertionError("a number was read from the device")
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_waited_for(name, masked, monkeypatch):
    balancer = positive(components("balancer")[name](scale="sum"))
    _, step = make(balancer)
    batch = make_batch({"kind": (torch.arange(24) < 6).float()} if masked else None)
    step(batch)  # the first may look around
    for name in ("tolist", "numpy", "cpu"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_: pytest.fail("a tensor was read from the device"))
    with NoWaiting():
        step(batch)
        step.after(batch)


def test_it_would_notice():
    with pytest.raises(AssertionError), NoWaiting():
        bool(torch.ones(()) > 0)
