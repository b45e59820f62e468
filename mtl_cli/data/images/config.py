"""What YAML says of images: `mtl train dataset=mnist model=cnn`, `digits`, `multi_mnist`, `images.npz`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.files import resolve
from mtl_cli.data.images.base import PART, ImageSource, MissingFiles
from mtl_cli.data.split import Rows, split_rows
from mtl_cli.io import user_path

if TYPE_CHECKING:
    import numpy as np

    from mtl_cli.data.images.files import Loaded

SIDE = 36
"""Pixels of MultiMNIST's images."""


@component("dataset", "digits")
@dataclass(frozen=True, kw_only=True)
class Digits(ImageSource):
    """1797 handwritten digits of 8 × 8 pixels, 0 to 16, bundled with scikit-learn; the labels are the column ``digit``.

    Alpaydin & Kaynak 1998, doi 10.24432/C50P49: the test part of that data set.
    """

    def load(self) -> Loaded:
        """Return the images and labels."""
        import numpy as np
        import pandas as pd
        from sklearn.datasets import load_digits

        from mtl_cli.data.images.files import Loaded

        found = load_digits()
        images = np.asarray(found.images).astype("uint8")[:, None]
        return Loaded(images, pd.DataFrame({"digit": np.asarray(found.target, dtype="int64")}), None, "digits")


@component("dataset", "npz")
@dataclass(frozen=True, kw_only=True)
class Npz(ImageSource):
    """Images in an npz file, as ``numpy.savez(path, images=…, species=…, age=…)`` writes it.

    Parameters
    ----------
    path : str
        ``images`` holds bytes of shape (n, height, width), or with channels, first or last; every other array of
        shape (n,) is a column of labels: text, numbers, or true and false. What no task asks for may be anything.
    """

    path: str

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    @property
    def file(self) -> str:
        return self.path

    def check(self, config: Config) -> Iterator[Problem]:
        yield from super().check(config)
        try:
            resolve(self.path)
        except UserError as error:
            yield from error.problems

    def load(self) -> Loaded:
        """Read the file. Raises UserError if it is no such file."""
        from mtl_cli.data.images.files import Loaded, read_images

        images, labels, unusable = read_images(self.path)
        return Loaded(images, labels, None, self.path, unusable)


@component("dataset", "idx")
@dataclass(frozen=True, kw_only=True)
class Idx(ImageSource):
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
        if self.root is not None and not user_path(self.root).is_dir():
            yield Problem("dataset.root", f"there is no folder {self.root}")
        if (self.test_images is None) != (self.test_labels is None):
            yield Problem("dataset.test_images", "must be given together with test_labels")

    def with_root(self, root: str) -> Self:
        return self if self.root is not None else replace(self, root=root)

    def folders(self) -> list[Path]:
        """Return where the files are looked for."""
        from mtl_cli.data.images.files import data_home

        root = data_home() if self.root is None else user_path(self.root)
        return [root] if self.name is None else [root / self.name, root]

    def load(self) -> Loaded:
        """Read the files. Raises UserError if one is missing, damaged, or does not go with its fellow."""
        import numpy as np
        import pandas as pd

        from mtl_cli.data.images.files import LABEL, Loaded

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


@component("dataset", "multi_mnist")
@dataclass(frozen=True, kw_only=True)
class MultiMNIST(ImageSource):
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

    def with_root(self, root: str) -> Self:
        return self if self.root is not None else replace(self, root=root)

    @property
    def makes_folds(self) -> bool:
        """No: two images show one digit, and both are in one part of the split."""
        return False

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

        from mtl_cli.data.images.files import LABEL, Loaded

        mnist = self._mnist.load()
        digits = mnist.labels[LABEL].to_numpy()
        rows = pd.DataFrame({PART: mnist.parts})
        split = split_rows(self.split.of_rows(PART), rows, Rows(np.arange(len(rows)), lambda name: rows[name]))
        parts = split.names(len(rows))
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
