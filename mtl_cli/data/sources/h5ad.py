"""Single cells as .h5ad files: `mtl train dataset=cells.h5ad`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from mtl_cli.config.convert import Bound
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import component, components
from mtl_cli.config.schema import Config, unknown_tasks
from mtl_cli.data.cells.file import EXTRA, missing_extra
from mtl_cli.data.cells.genes import GeneConfig
from mtl_cli.data.files import STDIN, resolve
from mtl_cli.data.split import SplitConfig

if TYPE_CHECKING:
    from mtl_cli.data.cells.file import CellFile
    from mtl_cli.data.prepared import Prepared, Reader, TaskFactory


@component("dataset", "h5ad")
@dataclass(frozen=True, kw_only=True)
class H5AD:
    """Cells by genes, with labels in columns of ``obs``.

    Parameters
    ----------
    path : str
        A file, or ``scanpy:NAME`` for one that comes with scanpy.
    layer : str, optional
        Read this layer in place of X.
    use_raw : bool
        Read ``raw`` in place of X.
    backed : bool
        Leave the values on disk and read those of each batch.
    transform : {"none", "log1p", "binarize"}
        What the network reads of a value x: x, log(1 + x), or whether x > 0.
    genes : GeneConfig
    min_overlap : float
        The share of the model's genes that a file to predict must have, or one to train on from another run's trunk.
    id : str, optional
        The column of ``obs`` that names the cells; its index where None.
    weight : str, optional
        The column of ``obs`` that says how much a cell counts in the training loss. Metrics count all cells alike.
    split : SplitConfig
        Its columns are those of ``obs``. A class with fewer cells than there are parts is stratified with others.
    hierarchy : {"report", "enforce", "none"}
        What to do about predictions of one level that contradict those of another; see ``Hierarchy``.
    levels : list of str, optional
        The tasks that are levels, coarse to fine; those that nest in the training labels where None.
    """

    path: str
    layer: str | None = None
    use_raw: bool = False
    backed: bool = False
    transform: Literal["none", "log1p", "binarize"] = "log1p"
    genes: GeneConfig = field(default_factory=GeneConfig)
    min_overlap: Annotated[float, Bound(at_least=0, at_most=1)] = 0.5
    id: str | None = None
    weight: str | None = None
    split: SplitConfig = field(default_factory=SplitConfig)
    hierarchy: Literal["report", "enforce", "none"] = "report"
    levels: list[str] | None = None

    input_kind: ClassVar[str] = "features"
    suffixes: ClassVar[tuple[str, ...]] = (".h5ad",)
    keeps_encoder: ClassVar[bool] = False
    keeps_features: ClassVar[bool] = True
    """Whether ``prepare`` takes another run's reader, to give the features that it gives."""

    def open(self, path: str) -> CellFile:
        """Open a file as this one is to be read."""
        from mtl_cli.data.cells.file import open_cells

        return open_cells(path, self.layer, self.use_raw, self.backed)

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong between this part of the config and the others."""
        if missing_extra():
            yield Problem("dataset", f"reading .h5ad files needs {missing_extra()}", EXTRA)
        elif self.path == STDIN:
            yield Problem("dataset.path", "an .h5ad file cannot come through a pipe", "give its name")
        else:
            try:
                resolve(self.path)
            except UserError as error:
                yield from error.problems
        if self.layer is not None and self.use_raw:
            yield Problem("dataset.layer", "cannot read a layer and raw at once", "choose one")
        tasks = config.tasks or {}
        yield from self.split.check(list(tasks))
        if self.levels is None:
            return
        yield from unknown_tasks(self.levels, list(tasks), "dataset.levels")
        kind = components("task")["multiclass"]
        for name in self.levels:
            if name in tasks and not isinstance(tasks[name], kind):
                several = [other for other, task in tasks.items() if isinstance(task, kind)]
                yield Problem("dataset.levels", f"'{name}' is no multiclass task", did_you_mean(name, several))

    def prepare(
        self, tasks: dict[str, TaskFactory], notice: Callable[[str], None], like: Reader | None = None
    ) -> Prepared:
        """Read, split and encode; with ``like``, a reader of cells, the genes are its genes, found by name."""
        from mtl_cli.data.cells.dataset import prepare_cells

        return prepare_cells(self, tasks, notice, like)

    def restore(self, state: dict[str, Any]) -> Reader:
        """Make the reader that ``state`` was taken from."""
        from mtl_cli.data.cells.dataset import CellReader

        return CellReader.from_state(self, state)
