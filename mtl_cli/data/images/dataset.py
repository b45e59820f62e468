"""Data sets of images: bytes of one size, with a table of labels beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from mtl_cli.config.convert import Seed
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.schema import Config
from mtl_cli.data.split import Size, SplitConfig, split_rows

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from mtl_cli.data.prepared import Prepared, Reader, TaskFactory

PART, PIXELS = "part", "pixels"


@dataclass(frozen=True)
class ImageSplit:
    """How images are split.

    Parameters
    ----------
    test : float or int
        Below 1 a fraction of the images, from 1 on a count of them; of no use where test images come in files of their
        own.
    val : float or int
        Likewise; cut from the training images. 0 is none.
    seed : int
        The random state of scikit-learn's ``train_test_split``. Apart from the run's ``seed``, so that runs compare.
    duplicates : {"warn", "drop"}
        What to do about images that are the same, pixel for pixel: say so, or leave out those validation and test
        images that repeat a training image.
    """

    test: Size = 0.2
    val: Size = 0.1
    seed: Seed = 42
    duplicates: Literal["warn", "drop"] = "warn"

    def of_rows(self, column: str | None) -> SplitConfig:
        """Return the same as a split of a table, by a column with the parts if there is one."""
        return SplitConfig(test=self.test, val=self.val, seed=self.seed, column=column, duplicates=self.duplicates)


class MissingFiles(UserError):
    """The files of a data set that can be fetched are not there.

    Parameters
    ----------
    name : str
        Of the data set.
    what : str
    """

    def __init__(self, name: str, what: str) -> None:
        super().__init__("dataset.root", what, fetch_hint([name]))
        self.name, self.what = name, what


def fetch_hint(names: list[str]) -> str:
    """Return how to fetch some data sets, with one command if there is one."""
    from mtl_cli.data.images.downloads import DATASETS

    together = [name for name, parts in DATASETS.items() if set(parts) == set(names) and len(parts) == len(names) > 1]
    return " and ".join(f"`mtl data fetch {name}`" for name in together or names) + " downloads what is missing"


class Loaded(NamedTuple):
    """Images as they were read, n of them.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, channels, height, width)
    labels : DataFrame
    parts : ndarray of str, shape (n,), optional
        ``train``, ``val`` or ``test``, where the data set itself says so.
    where : str
        What to call them in messages.
    unusable : mapping of str to str
        What is wrong with a column that cannot be labels, by name.
    """

    images: np.ndarray
    labels: pd.DataFrame
    parts: np.ndarray | None
    where: str
    unusable: Mapping[str, str] = MappingProxyType({})


def check_usable(columns: Mapping[str, list[str]], unusable: Mapping[str, str], where: str) -> None:
    """Raise UserError for each label column, by the key that asks for it, that cannot be labels."""
    problems = [
        Problem(key, f"'{name}' of {where} {unusable[name]}")
        for key in columns
        for name in columns[key]
        if name in unusable
    ]
    if problems:
        raise UserError.of(problems)


@dataclass(frozen=True, kw_only=True)
class ImageDataset:
    """The keys that all data sets of images share. A kind of them adds ``load``.

    Parameters
    ----------
    split : ImageSplit
    """

    split: ImageSplit = field(default_factory=ImageSplit)

    input_kind: ClassVar[str] = "image"
    keeps_encoder: ClassVar[bool] = False
    keeps_features: ClassVar[bool] = False

    def load(self) -> Loaded:
        """Read all images and labels. Raises UserError if they are not there, or not as they must be."""
        raise NotImplementedError

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong between this part of the config and the others."""
        yield from self.split.of_rows(None).check([])

    def prepare(self, tasks: dict[str, TaskFactory], notice: Callable[[str], None]) -> Prepared:
        """Read, split and encode.

        Parameters
        ----------
        tasks : dict
            The tasks' configs by name.
        notice : callable
            Takes a line that the user should see.

        Raises
        ------
        UserError
            If the files are not as they must be; with all tasks' problems at once.
        """
        import numpy as np
        import pandas as pd

        from mtl_cli.data.images.reader import ImageReader, fingerprint, fit_spec, kin_of
        from mtl_cli.data.inputs import DenseRows
        from mtl_cli.data.prepared import Examples, Prepared, fit_tasks

        loaded = self.load()
        images, labels = loaded.images, loaded.labels
        columns = {f"tasks.{name}.target": task.columns(name) for name, task in tasks.items()}
        check_usable(columns, loaded.unusable, loaded.where)
        rows = pd.DataFrame({PIXELS: kin_of(images)})
        if loaded.parts is not None:
            rows[PART] = loaded.parts
        by_column = None if loaded.parts is None else PART
        split = split_rows(self.split.of_rows(by_column), rows, [PIXELS], lambda name: labels[name], notice)
        fitted = fit_tasks(tasks, labels, split.train, notice)
        reader = ImageReader(self, fit_spec(images, split.train), fingerprint(loaded))
        ids = pd.Series(np.arange(len(images)), name="row")
        everything = Examples(DenseRows(images), labels, ids, loaded.where)
        parts = {
            part: everything.select(getattr(split, part)).part(fitted, split.repeats.get(part))
            for part in ("train", "val", "test")
            if len(getattr(split, part))
        }
        splits = pd.DataFrame({ids.name: ids, "split": split.names(len(images))})
        return Prepared(fitted, reader, parts, splits)

    def restore(self, state: dict[str, Any]) -> Reader:
        """Make the reader that ``state`` was taken from."""
        from mtl_cli.data.images.reader import ImageReader

        return ImageReader.from_state(self, state)
