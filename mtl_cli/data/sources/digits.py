"""The handwritten digits that come with scikit-learn: `mtl train dataset=digits model=cnn`."""

from __future__ import annotations

from dataclasses import dataclass

from mtl_cli.config.registry import component
from mtl_cli.data.images.dataset import ImageDataset, Loaded


@component("dataset", "digits")
@dataclass(frozen=True, kw_only=True)
class Digits(ImageDataset):
    """1797 handwritten digits of 8 × 8 pixels, 0 to 16, bundled with scikit-learn; the labels are the column ``digit``.

    Alpaydin & Kaynak 1998, doi 10.24432/C50P49: the test part of that data set.
    """

    def load(self) -> Loaded:
        """Return the images and labels."""
        import numpy as np
        import pandas as pd
        from sklearn.datasets import load_digits

        found = load_digits()
        images = np.asarray(found.images).astype("uint8")[:, None]
        return Loaded(images, pd.DataFrame({"digit": np.asarray(found.target, dtype="int64")}), None, "digits")
