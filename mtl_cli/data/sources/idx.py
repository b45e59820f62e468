"""Images in the idx format of MNIST: `mtl train dataset=mnist`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.images.dataset import ImageDataset, Loaded, MissingFiles

if TYPE_CHECKING:
    import numpy as np


@component("dataset", "idx")
@dataclass(frozen=True, kw_only=True)
class Idx(ImageDataset):
    """Images and labels in idx files, gzipped or not; the labels are the column ``label``.

    Parameters
    ----------
    root : str, optional
        The folder of the files, or, where there is a ``name``, one with a folder of that name. Null: where
        ``mtl data fetch`` puts them.
    name : str, optional
        Of a data set that can be fetched.
    images, labels : str
        The files to train on; a ``.gz`` behind the name is found by itself.
    test_images, test_labels : str, optional
        The files to test on; without them, test images are cut from the others.
    classes : int, optional
        Labels must lie below it.
    """

    root: str | None = None
    name: str | None = None
    images: str = "train-images-idx3-ubyte"
    labels: str = "train-labels-idx1-ubyte"
    test_images: str | None = "t10k-images-idx3-ubyte"
    test_labels: str | None = "t10k-labels-idx1-ubyte"
    classes: PositiveInt | None = None

    def check(self, config: Config) -> Iterator[Problem]:
        yield from super().check(config)
        if self.root is None and self.name is None:
            yield Problem("dataset.root", "needs a value", "give dataset.root=FOLDER, where the files are")
        if self.root is not None and not Path(self.root).expanduser().is_dir():
            yield Problem("dataset.root", f"there is no folder {self.root}")
        if (self.test_images is None) != (self.test_labels is None):
            yield Problem("dataset.test_images", "comes with test_labels, or both are null")

    def folders(self) -> list[Path]:
        """Return where the files are looked for."""
        from mtl_cli.data.images.files import data_home

        root = data_home() if self.root is None else Path(self.root).expanduser()
        return [root] if self.name is None else [root / self.name, root]

    def load(self) -> Loaded:
        """Read the files. Raises UserError if one is missing, damaged, or does not go with its fellow."""
        import numpy as np
        import pandas as pd

        from mtl_cli.data.images.files import LABEL

        images, labels = self._pair(self.images, self.labels)
        parts = None
        if self.test_images is not None and self.test_labels is not None:
            others, theirs = self._pair(self.test_images, self.test_labels)
            if others.shape[1:] != images.shape[1:]:
                raise UserError(self.test_images, "holds images of another size than the training images")
            parts = np.repeat(["train", "test"], [len(images), len(others)])
            images, labels = np.concatenate([images, others]), np.concatenate([labels, theirs])
        return Loaded(images, pd.DataFrame({LABEL: labels}), parts, self.name or str(self.root))

    def _pair(self, images_name: str, labels_name: str) -> tuple[np.ndarray, np.ndarray]:
        from mtl_cli.data.images.files import as_images, as_labels
        from mtl_cli.data.images.idx import read_idx

        images_file, labels_file = self._find(images_name), self._find(labels_name)
        images = as_images(read_idx(images_file), str(images_file))
        labels = as_labels(read_idx(labels_file), len(images), str(labels_file), str(images_file))
        if self.classes is not None:
            wrong = (labels < 0) | (labels >= self.classes)
            if wrong.any():
                row = int(wrong.argmax())
                what = f"the label {labels[row]} of image {row} is out of range"
                raise UserError(str(labels_file), what, f"labels are 0 to {self.classes - 1}")
        return images, labels

    def _find(self, name: str) -> Path:
        from mtl_cli.data.images.files import find_file

        folders = self.folders()
        file = find_file(name, folders)
        if file is None:
            looked = " and ".join(str(folder) for folder in folders)
            other = " ($MTL_DATA_ROOT or dataset.root names another folder)" if self.root is None else ""
            what = f"there is no {name}, .gz or not, in {looked}{other}"
            raise MissingFiles(self.name, what) if self.name else UserError("dataset.root", what)
        return file
