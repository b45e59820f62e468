"""A class for each token of a text: its part of speech, or whether it is of an entity."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import NonNegativeFloat
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks.classes import counted
from mtl_cli.tasks.positions import PositionTask
from mtl_cli.tasks.resampling import ratio_of
from mtl_cli.tasks.spans import EntityCounts, Scheme, TagError, Tags, as_iob2, best_path, count_entities, scheme_of
from mtl_cli.tasks.task import Decided, Level, TaskConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import torch


@component("task", "token")
@dataclass(frozen=True, kw_only=True)
class Token(TaskConfig):
    """A class for each token of a text. The label of a row is as many tags as it has tokens, with spaces between them.

    Parameters
    ----------
    scheme : {"auto", "none", "iob2", "iob1", "iobes", "bilou"}
        How tags mark entities, which are then found and counted as a whole; ``none``: they are classes, such as parts
        of speech. ``auto`` goes by the tags: with ``O`` and ``B-TYPE`` they mark entities. Predictions are in IOB2.
    missing : list of str
        The tags that mean a missing label.
    mapping : dict, optional
        A tag for each tag in the column.
    class_weights : "balanced" or dict, optional
        Weight of each tag in the loss; ``balanced`` is n / (tags · n_tag) over the tokens of training rows.
    """

    scheme: Literal["auto", "none", "iob2", "iob1", "iobes", "bilou"] = "auto"
    missing: list[str] = field(default_factory=lambda: ["_"])
    mapping: dict[str, str] | None = None
    class_weights: Literal["balanced"] | dict[str, NonNegativeFloat] | None = None

    level: ClassVar[Level] = "token"
    token_inputs: ClassVar[tuple[str, ...]] = ("text", "pieces")

    def check(self, name: str) -> Iterator[Problem]:
        for tag in [*self.missing, *(self.mapping or {}), *(self.mapping or {}).values()]:
            if not tag or len(tag.split()) != 1:
                yield Problem(f"tasks.{name}", f"'{tag}' is not a tag: spaces stand between tags")

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name, table).labels(table)

    def strata(self, name: str, table: pd.DataFrame) -> pd.Series:
        """Return which classes occur in each row."""
        task = self._unfitted(name, table)
        return task.strata(task.labels(table))

    def _unfitted(self, name: str, table: pd.DataFrame) -> TokenTask:
        """Return the task without classes; ``auto`` looks at all tags of the table."""
        task = TokenTask(name, self.columns(name), self.weight, self.auxiliary, [], self.missing, self.mapping)
        if self.scheme == "none":
            return task
        scheme = self.scheme if self.scheme != "auto" else scheme_of(task.found(task.labels(table)))
        if scheme is None:
            return task
        given = (self.weight, self.auxiliary)
        return EntityTask(name, self.columns(name), *given, [], self.missing, self.mapping, scheme=scheme)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> TokenTask:
        """Fit to the rows ``train`` of ``table``. Classes are the tags of the whole table.

        Raises
        ------
        UserError
            If there is one class only, in the table or in the training rows, or a tag is none of its scheme.
        """
        task = self._unfitted(name, table)
        task.fit_classes(self.class_weights, table, train)
        return task

    @staticmethod
    def restore(state: dict[str, Any]) -> TokenTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(EntityTask if "scheme" in state else TokenTask, state)


@dataclass
class TokenTask(PositionTask):
    """A token task fitted to its training rows: labels are tags with spaces between them. See ``PositionTask``."""

    missing: list[str]

    kind: ClassVar[str] = "token"

    def split(self, text: str) -> Sequence[str]:
        return text.split()

    def join(self, labels: Iterable[str]) -> str:
        return " ".join(labels)


@dataclass
class EntityTask(TokenTask):
    """A token task whose tags mark entities, in IOB2 within and behind the model.

    Each row's tags are chosen together: the most probable of those in which no ``I-`` stands without what it continues.

    Parameters
    ----------
    scheme : str
        Of the labels as they are written.
    """

    scheme: Scheme = "iob2"

    primary: ClassVar[str] = "f1"

    @property
    def tags(self) -> Tags:
        """What the classes mean."""
        return Tags.of(self.classes)

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return the tags in IOB2. Raises UserError naming the first that is none of the scheme, and its row."""
        labels = super().labels(table)
        found: list[str | None] = []
        for row, text in zip(labels.index, labels, strict=True):
            if not isinstance(text, str):
                found.append(None)
                continue
            try:
                found.append(self.join(as_iob2(self.split(text), self.scheme, self.missing)))
            except TagError as error:
                hint = f"tasks.{self.name}.scheme=iob1 takes it as the first of one" if self.scheme == "iob2" else None
                what = f"token {error.position} of row {int(row) + 1}: {error.what}"
                raise UserError(f"tasks.{self.name}", what, hint) from error
        labels[:] = found
        return labels

    def chosen(self, output: torch.Tensor) -> torch.Tensor:
        """Return the most probable classes of each row that go together, (n, length)."""
        return best_path(output.nan_to_num(), *self.tags.allowed())

    def counts(self, output: torch.Tensor, values: torch.Tensor) -> EntityCounts:
        """Return each row's entities."""
        length = min(output.shape[1], values.shape[1])
        return count_entities(self.tags, values[:, :length], self.chosen(output)[:, :length])

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        found = self.counts(output, target)
        return 2 * found.right.sum() / (found.there.sum() + found.found.sum()).clamp(min=1)

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return precision, recall and F1 of entities, over all types at once, and the metrics of tokens."""
        import torch

        counts = self.counts(torch.tensor(output), torch.tensor(values))
        there, found, right = (int(each.sum()) for each in (counts.there, counts.found, counts.right))
        return {
            "entities": there,
            "f1": 2 * right / max(there + found, 1),
            "precision": right / max(found, 1),
            "recall": right / max(there, 1),
            **super().metrics(output, values),
        }

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        import torch

        rows = self.counts(torch.tensor(output), torch.tensor(values))
        there, found, right = (each.sum(1).numpy() for each in (rows.there, rows.found, rows.right))
        return ratio_of(2 * right, there + found, counts)

    def by_class(
        self, output: np.ndarray, values: np.ndarray, decided: Decided | None = None
    ) -> dict[str, dict[str, float]]:
        """Return of each type its entities, recall and precision."""
        import torch

        rows = self.counts(torch.tensor(output), torch.tensor(values))
        every = (each.sum(0).numpy() for each in (rows.there, rows.found, rows.right))
        return counted(self.tags.types, *every)
