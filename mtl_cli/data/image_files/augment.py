"""Changes of training images that leave their labels true: they are moved, turned, enlarged, lit and cut into anew."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mtl_cli.config.convert import NonNegativeFloat, Probability

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Augment:
    """How far training images are changed at most, each at random and anew in every epoch; 0 is not at all.

    Parameters
    ----------
    shift : float
        The share of the height and the width that an image is moved by.
    rotate : float
        Degrees to either side.
    zoom : float
        0.1 makes it up to a tenth larger or smaller.
    flip : {"none", "horizontal", "vertical", "both"}
        What it may be mirrored in, half of the time: only where left and right, or up and down, are no part of a label.
    brightness, contrast : float
        The share of the range of bytes that is added, and of the differences from the image's mean.
    erase : float
        The share of an image's area that a grey rectangle hides (Zhong et al. 2020, arXiv 1708.04896).
    """

    shift: Probability = 0.0
    rotate: NonNegativeFloat = 0.0
    zoom: Probability = 0.0
    flip: Literal["none", "horizontal", "vertical", "both"] = "none"
    brightness: Probability = 0.0
    contrast: Probability = 0.0
    erase: Probability = 0.0

    @property
    def none(self) -> bool:
        """Whether nothing is changed."""
        return self == Augment()

    def __call__(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Return changed images, float32 in units of bytes; what comes in from beyond the edge is the edge.

        Parameters
        ----------
        images : Tensor of shape (n, channels, height, width)
        random : Generator
            On the CPU.
        """
        import torch
        from torch.nn import functional as F

        n, _, height, width = images.shape

        def draw(most: float) -> torch.Tensor:
            return ((2 * torch.rand(n, generator=random) - 1) * most).to(images.device)

        found = images.float()
        if self.shift or self.rotate or self.zoom or self.flip != "none":
            angle, scale = draw(math.radians(self.rotate)), 1 / (1 + draw(self.zoom))
            across, down = self._mirrored(n, random, images.device)
            cos, sin = angle.cos() * scale, angle.sin() * scale
            moved = torch.stack([draw(2 * self.shift), draw(2 * self.shift)], 1)
            rows = [
                cos * across,
                -sin * down * height / width,
                moved[:, 0],
                sin * across * width / height,
                cos * down,
                moved[:, 1],
            ]
            theta = torch.stack(rows, 1).view(n, 2, 3)
            grid = F.affine_grid(theta, list(images.shape), align_corners=False)
            found = F.grid_sample(found, grid, mode="bilinear", padding_mode="border", align_corners=False)
        if self.contrast or self.brightness:
            mean = found.mean((1, 2, 3), keepdim=True)
            more, light = (draw(most).view(n, 1, 1, 1) for most in (self.contrast, self.brightness))
            found = (mean + (found - mean) * (1 + more) + 255 * light).clamp(0, 255)
        return self._erased(found, random) if self.erase else found

    def _mirrored(self, n: int, random: torch.Generator, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
        """Return −1 for each image that is mirrored across, and for each that is mirrored upside down, else 1."""
        import torch

        signs = 1 - 2 * torch.randint(0, 2, (2, n), generator=random).float()
        across = signs[0] if self.flip in ("horizontal", "both") else torch.ones(n)
        down = signs[1] if self.flip in ("vertical", "both") else torch.ones(n)
        return across.to(device), down.to(device)

    def _erased(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        import torch

        n, _, height, width = images.shape
        side = torch.rand(n, generator=random).mul(self.erase).sqrt()
        top, left = (torch.rand(n, generator=random) for _ in range(2))
        rows, columns = torch.arange(height).view(1, -1, 1), torch.arange(width).view(1, 1, -1)
        first, start = (top * (1 - side) * height).view(-1, 1, 1), (left * (1 - side) * width).view(-1, 1, 1)
        tall, wide = (side * height).view(-1, 1, 1), (side * width).view(-1, 1, 1)
        inside = (rows >= first) & (rows < first + tall) & (columns >= start) & (columns < start + wide)
        return images.masked_fill(inside.unsqueeze(1).to(images.device), 127.0)
