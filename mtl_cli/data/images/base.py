"""What all data sets of images share: bytes of one size, with a table of labels beside them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from mtl_cli.config.convert import Seed
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.schema import Config
from mtl_cli.data.base import (
    DataSource,
    Examples,
    Notice,
    Prepared,
    Reader,
    check_usable,
    encode_parts,
    fit_tasks,
)
from mtl_cli.data.split import Rows, Size, SplitConfig, split_rows
from mtl_cli.tasks.labels import USUAL_NO_LABEL
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.folding import Folding
    from mtl_cli.data.images.files import Loaded

PART = "part"


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
        images that are duplicates of a training image.
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


@dataclass(frozen=True, kw_only=True)
class ImageSource(DataSource):
    """The keys that all data sets of images share. A kind of them adds ``load``.

    Parameters
    ----------
    no_label : list of str
        Labels that mean that there is none; a label that a task names is one.
    split : ImageSplit
    """

    no_label: list[str] = field(default_factory=lambda: list(USUAL_NO_LABEL))
    split: ImageSplit = field(default_factory=ImageSplit)

    @property
    def input_kind(self) -> Literal["image"]:
        return "image"

    @property
    def example(self) -> str:
        return "new.npz"

    @property
    def makes_folds(self) -> bool:
        return True

    @property
    def validates(self) -> bool:
        return self.split.val > 0

    def label_table(self, notice: Notice) -> pd.DataFrame:
        return self.load().labels

    @abstractmethod
    def load(self) -> Loaded:
        """Read all images and labels. Raises UserError if they are not there, or not as they must be."""

    def check(self, config: Config) -> Iterator[Problem]:
        yield from self.split.of_rows(None).check([])

    def prepare(
        self,
        tasks: Mapping[str, TaskConfig],
        notice: Notice,
        like: Reader | None = None,
        folding: Folding | None = None,
    ) -> Prepared:
        import pandas as pd

        from mtl_cli.data.duplicates import equal_arrays
        from mtl_cli.data.held_out import hold_out
        from mtl_cli.data.images.reader import ImageReader, fingerprint, fit_spec
        from mtl_cli.data.inputs import DenseRows
        from mtl_cli.data.tables.deciding import Words, decide, label_uses, named_labels

        loaded = self.load()
        images = loaded.images
        columns = {f"tasks.{name}.target": task.columns(name) for name, task in tasks.items()}
        check_usable(columns, loaded.unusable, loaded.where)
        words = Words(no_label=self.no_label, labels=named_labels(tasks))
        readings = decide(loaded.labels, label_uses(tasks), words, loaded.where, notice)
        labels = readings.apply(loaded.labels)
        parts = pd.DataFrame(index=range(len(images)))
        if loaded.parts is not None:
            parts[PART] = loaded.parts
        by_column = self.split.of_rows(None if loaded.parts is None else PART)
        rows = Rows(equal_arrays(images), lambda name: tasks[name].strata(name, labels))
        split = split_rows(by_column, parts, rows, notice)
        split, held_out = hold_out(folding, by_column, split, parts, rows, tasks, labels, notice)
        fitted = fit_tasks(tasks, labels, split.train, notice)
        reader = ImageReader(self.load, fit_spec(images, split.train), readings, fingerprint(loaded))
        ids = pd.Series(range(len(images)), name="row")
        everything = Examples(DenseRows(images), labels, ids, loaded.where)
        return Prepared(fitted, reader, encode_parts(split, fitted, everything.select), split.table(ids), held_out)

    def restore(self, state: dict[str, Any]) -> Reader:
        from mtl_cli.data.images.reader import ImageReader

        return ImageReader.from_state(self.load, state)
