"""Mixed precision: the forward pass in half of float32's bits, and what that asks of the gradients."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import PrecisionName

FIRST, HIGHEST, PATIENCE = 2.0**16, 2.0**24, 2000
"""The factor of the losses to begin with, the most, and the steps after which it is doubled."""


class MixedPrecision:
    """How the forward pass is computed, and by how much the losses are scaled up.

    Layers run in the type that torch's autocast chooses for them; parameters, losses, the balancer, the tasks'
    gradients on known layers and the optimizer stay in float32. float16 has no numbers below 6e-8: there the losses go
    back multiplied by ``scale``, which is halved where a gradient overflows, and doubled after many steps that went
    well. What the balancer sees is divided by it.

    Parameters
    ----------
    name : {"float32", "bfloat16", "float16"}
    device : torch.device

    Raises
    ------
    UserError
        For float16 on the CPU.
    """

    def __init__(self, name: PrecisionName, device: torch.device) -> None:
        if name == "float16" and device.type == "cpu":
            raise UserError("trainer.precision", "float16 is not supported on the CPU", "trainer.precision=bfloat16")
        self.dtype = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[name]
        self.scale = FIRST if name == "float16" else 1.0
        self._device, self.good = device.type, 0

    @property
    def scales(self) -> bool:
        """Whether gradients may overflow, and have to be looked at before they are used."""
        return self.dtype is torch.float16

    def forward(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        if self.dtype is None:
            return nullcontext()
        return torch.autocast(self._device, self.dtype, cache_enabled=False)

    def learn(self, went_well: bool) -> None:
        """Choose the next step's scale.

        Raises
        ------
        UserError
            If gradients overflow although they are not scaled up.
        """
        if not went_well:
            if self.scale <= 1:
                what = "losses or gradients overflow float16 at every scale"
                raise UserError("trainer.precision", what, "trainer.precision=bfloat16, or a lower optimizer.lr")
            self.scale, self.good = self.scale / 2, 0
        elif self.good + 1 == PATIENCE:
            self.scale, self.good = min(2 * self.scale, HIGHEST), 0
        else:
            self.good += 1


def full(tensor: torch.Tensor) -> torch.Tensor:
    """Return a tensor in float32, or as it is if it has more bits."""
    return tensor.float() if tensor.dtype.itemsize < 4 else tensor
