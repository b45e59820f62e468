"""Images of one's own as NumPy arrays: `mtl train dataset=images.npz`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.config.schema import Config
from mtl_cli.data.files import resolve
from mtl_cli.data.images.dataset import ImageDataset, Loaded


@component("dataset", "npz")
@dataclass(frozen=True, kw_only=True)
class Npz(ImageDataset):
    """Images in an npz file, as ``numpy.savez(path, images=…, species=…, age=…)`` writes it.

    Parameters
    ----------
    path : str
        ``images`` holds bytes of shape (n, height, width), or with channels, first or last; every other array of
        shape (n,) is a column of labels: text, numbers, or true and false. What no task asks for may be anything.
    """

    path: str

    suffixes: ClassVar[tuple[str, ...]] = (".npz",)

    def check(self, config: Config) -> Iterator[Problem]:
        yield from super().check(config)
        try:
            resolve(self.path)
        except UserError as error:
            yield from error.problems

    def load(self) -> Loaded:
        """Read the file. Raises UserError if it is no such file."""
        from mtl_cli.data.images.files import read_images

        images, labels, unusable = read_images(self.path)
        return Loaded(images, labels, None, self.path, unusable)
