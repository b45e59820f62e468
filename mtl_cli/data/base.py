"""The contract of a data set: what it can be asked for, by the config's checks, by training and by the rest."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from mtl_cli.config.errors import Problem
from mtl_cli.config.schema import Config

if TYPE_CHECKING:
    from mtl_cli.data.prepared import Prepared, Reader, TaskFactory


@dataclass(frozen=True, kw_only=True)
class DataSource(ABC):
    """A data set: its YAML keys as fields, and how its rows are read, split and encoded."""

    suffixes: ClassVar[tuple[str, ...]] = ()
    """How the names of its files end, if files of that ending are this kind of data set."""
    keeps_features: ClassVar[bool] = False
    """Whether ``prepare`` takes another run's reader, to give the features that it gives."""

    @property
    @abstractmethod
    def input_kind(self) -> str | None:
        """What kind of inputs a trunk gets: "features", "image", "sequence" …; None if the config contradicts itself.

        A plugin may name a kind of its own, which trunks then name in ``accepts``.
        """

    @property
    def keeps_encoder(self) -> bool:
        """Whether ``prepare`` takes another run's reader, to encode features as that run does."""
        return False

    @property
    def file(self) -> str | None:
        """The path of the one file that the data set reads, if it is one file: it names the run."""
        return None

    @property
    def validates(self) -> bool:
        """Whether rows are left for validation, as far as the config tells."""
        return True

    @property
    def longest(self) -> int | None:
        """The most tokens that a sequence may have; None if there is no such limit, or no sequence."""
        return None

    @property
    def sequence_hint(self) -> str | None:
        """What key to give so that the inputs are sequences; None if they cannot be."""
        return None

    @property
    def members(self) -> dict[str, DataSource]:
        """The data sets that are joined in this one, by name; empty for a data set of its own."""
        return {}

    def check(self, config: Config) -> Iterator[Problem]:
        """Yield what is wrong with these keys, and between them and the rest of the config; no row is read."""
        yield from ()

    @abstractmethod
    def prepare(
        self, tasks: dict[str, TaskFactory], notice: Callable[[str], None], like: Reader | None = None
    ) -> Prepared:
        """Read, split and encode.

        Parameters
        ----------
        tasks : dict
            The tasks' configs by name.
        notice : callable
            Takes a line that the user should see.
        like : Reader, optional
            Encode the features as this one does, where ``keeps_encoder`` or ``keeps_features``.

        Raises
        ------
        UserError
            With all tasks' problems at once; otherwise the first that stands in the way.
        """

    @abstractmethod
    def restore(self, state: dict[str, Any]) -> Reader:
        """Return the reader of a trained model from what ``Reader.state`` kept in its file."""
