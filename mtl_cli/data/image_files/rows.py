"""Images in memory as the bytes that they were decoded to, changed at random where they train."""

from __future__ import annotations

import numpy as np
import torch

from mtl_cli.data.image_files.augment import Augment
from mtl_cli.data.inputs import DenseRows

STEP, PRIME = 48_271, 2_147_483_647
"""Of the numbers that a batch's draws begin with."""


class ImageRows(DenseRows):
    """Images of one size.

    Parameters
    ----------
    values : ndarray or Tensor of uint8, shape (n, channels, height, width)
    augment : Augment
    """

    def __init__(self, values: np.ndarray | torch.Tensor, augment: Augment) -> None:
        super().__init__(values)
        self.augment = augment

    def select(self, rows: np.ndarray) -> ImageRows:
        return ImageRows(self.values[torch.from_numpy(rows)], self.augment)

    def to(self, device: torch.device) -> ImageRows:
        return ImageRows(self.values.to(device), self.augment)

    def take_next(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Return the images of a training batch, changed at random.

        The draws follow from which rows the batch has in which order: they differ from epoch to epoch, and a run that
        is resumed has the same.
        """
        images = self.values[rows]
        if self.augment.none or isinstance(rows, slice):
            return images
        places = torch.arange(1, len(rows) + 1, device=rows.device)
        seed = int((rows * places * STEP % PRIME).sum())
        return self.augment(images, torch.Generator().manual_seed(seed))
