"""Two digits, one over the other: `mtl train dataset=multi_mnist model=cnn`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mtl_cli.config.errors import Problem
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.images.dataset import ImageDataset, Loaded
from mtl_cli.data.sources.idx import Idx

if TYPE_CHECKING:
    import numpy as np

SIDE = 36


@component("dataset", "multi_mnist")
@dataclass(frozen=True, kw_only=True)
class MultiMNIST(ImageDataset):
    """MultiMNIST (Sener & Koltun 2018, arXiv 1810.04650, section 5.1, after Sabour et al. 2017, arXiv 1710.09829).

    Each image is two MNIST digits on 36 × 36 pixels, one in the top left corner and one in the bottom right, and each
    pixel is the brighter of the two. The columns ``left`` and ``right`` say which digits they are.

    The pairs are made from ``split.seed``, and two runs have the same. Deviations: the paper draws each partner at
    random from all digits; here the digits of a part stand in a random ring, and each is paired with the next, so that
    every digit is once on the left and once on the right, and no digit of a validation or test image is seen in
    training. The images keep their 36 × 36 pixels.

    Parameters
    ----------
    root : str, optional
        Where MNIST's files are, as for ``dataset=mnist``.
    """

    root: str | None = None

    @property
    def _mnist(self) -> Idx:
        return Idx(root=self.root, name="mnist", classes=10)

    def check(self, config: Config) -> Iterator[Problem]:
        yield from super().check(config)
        yield from self._mnist.check(config)

    def load(self) -> Loaded:
        """Make the images. Raises UserError if MNIST's files are not there."""
        import numpy as np
        import pandas as pd

        from mtl_cli.data.images.files import LABEL
        from mtl_cli.data.split import split_rows

        mnist = self._mnist.load()
        digits = mnist.labels[LABEL].to_numpy()
        rows = pd.DataFrame({"part": mnist.parts, "row": np.arange(len(digits))})
        parts = split_rows(self.split.of_rows("part"), rows, ["row"], lambda name: rows[name]).names(len(rows))
        partner = pair(parts, self.split.seed)
        labels = pd.DataFrame({"left": digits, "right": digits[partner]})
        return Loaded(overlay(mnist.images, partner), labels, parts, "multi_mnist")


def pair(parts: np.ndarray, seed: int) -> np.ndarray:
    """Return each row's partner, another row of the same part, in a random ring per part."""
    import numpy as np

    random = np.random.RandomState(seed)  # its draws are the same in every version of NumPy
    partner = np.empty(len(parts), dtype="int64")
    for part in ("train", "val", "test"):
        ring = random.permutation(np.flatnonzero(parts == part))
        partner[ring] = np.roll(ring, 1)
    return partner


def overlay(images: np.ndarray, partner: np.ndarray) -> np.ndarray:
    """Return each image in the top left with its partner in the bottom right, the brighter pixel of the two."""
    import numpy as np

    (n, channels, height, width) = images.shape
    found = np.zeros((n, channels, SIDE, SIDE), dtype="uint8")
    found[..., :height, :width] = images
    corner = found[..., SIDE - height :, SIDE - width :]
    np.maximum(corner, images[partner], out=corner)
    return found
