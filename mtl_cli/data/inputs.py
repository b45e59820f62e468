"""What a network reads: its description, kept with the model, and how the inputs of many rows lie in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
import pandas as pd
import torch

from mtl_cli.config.errors import Problem, did_you_mean
from mtl_cli.runs.strangers import made_of

CPU = torch.device("cpu")
InputKind = str
"""What a row's inputs are: "features", "image", "sequence", "joint", or a kind of a plugin's own. A trunk names those
that it reads."""
Inputs = torch.Tensor | tuple[torch.Tensor, ...]
"""The inputs of a batch; a tuple where several data sets of different inputs are joined, a tensor each."""


@dataclass(frozen=True)
class InputSpec:
    """What one row is to a network.

    Parameters
    ----------
    kind : str
        "features", "image", "sequence", "joint", or a plugin's own.
    shape : tuple of int
        (inputs,) of float32; (channels, height, width) of uint8; (tokens,), the size of the vocabulary, for sequences
        of token numbers of any length, and for pieces of words; (numbers,), how many stand for a word of a text; ()
        where data sets are joined; of another kind, that of a row.
    names : list of str
        Of the features, or of the tokens.
    indicators : list of int
        Features that are there or not, 1 apart, such as the levels of a category; the others are numbers.
    center, scale : list of float
        Of an image's channels, in units of its bytes: a network reads (byte − center) / scale.
    parts : dict of str to InputSpec
        By data set, where they are joined; ``features``, where there are some beside a text.
    before, behind : list of int
        What a pretrained model was shown before and behind the pieces of a text.
    reference : list of int
        The tokens of the sequence that all others differ from in little, where they are a family; else empty.
    complement : list of int
        By token that of the complementary base, of DNA and RNA; else empty.
    levels : tuple of {"row", "token"}
        What tasks label of the inputs.
    """

    kind: InputKind
    shape: tuple[int, ...]
    names: list[str] = field(default_factory=list)
    indicators: list[int] = field(default_factory=list)
    center: list[float] = field(default_factory=list)
    scale: list[float] = field(default_factory=list)
    parts: dict[str, InputSpec] = field(default_factory=dict)
    before: list[int] = field(default_factory=list)
    behind: list[int] = field(default_factory=list)
    reference: list[int] = field(default_factory=list)
    complement: list[int] = field(default_factory=list)
    levels: tuple[str, ...] = ("row", "token")

    @property
    def width(self) -> int:
        """How many numbers a row has, where all rows are of one shape."""
        return int(np.prod(self.shape))

    def state(self) -> dict[str, Any]:
        """Return plain values for the model file."""
        return asdict(self)

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> InputSpec:
        """Make the description that ``state`` was taken from."""
        return made_of(cls, state)


def size_of(shape: tuple[int, ...]) -> str:
    """Return an image's size in words: channels × height × width."""
    return " × ".join(str(length) for length in shape)


def feature_problems(own: list[str], theirs: list[str], exclude: str | None = None) -> list[Problem]:
    """Return a problem for each feature that only one of the two has, the first ten of either side.

    Parameters
    ----------
    own, theirs : list of str
        The features of the data, and those that a trunk reads.
    exclude : str, optional
        The key that leaves features out.
    """
    missing, added = [n for n in theirs if n not in own], [n for n in own if n not in theirs]
    problems = [
        Problem(
            "init_from", f"the feature '{name}' that the trunk reads is not in this data set", did_you_mean(name, added)
        )
        for name in missing[:10]
    ]
    problems += [
        Problem(
            "init_from",
            f"'{name}' is a feature here, and none that the trunk reads",
            f"{exclude}=[{name}]" if exclude else None,
        )
        for name in added[:10]
    ]
    more = len(missing) + len(added) - len(problems)
    return [*problems, *([Problem("init_from", f"{more} more features differ")] if more else [])]


class Order(ABC):
    """Row numbers, a batch at a time, in an order of its own each time it is iterated over.

    All that is drawn for an epoch is drawn before its first batch.

    Attributes
    ----------
    generator : Generator
        What the orders are drawn with.
    """

    generator: torch.Generator

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of batches."""

    @abstractmethod
    def __iter__(self) -> Iterator[torch.Tensor | tuple[torch.Tensor, ...]]:
        """Yield the rows of each batch; those of each data set apart where the inputs ask for it."""

    def state_dict(self) -> dict[str, Any]:
        """Return what the next epoch's order depends on: tensors and plain values."""
        return {"generator": self.generator.get_state()}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Go on from what ``state_dict`` returned."""
        self.generator.set_state(saved["generator"].cpu())


class ShuffledOrder(Order):
    """Every row once, shuffled anew each time.

    Parameters
    ----------
    rows : int
    batch_size : int
    smallest : int
        Leave out a last batch of fewer rows (batch norm needs two).
    seed : int
        It does not touch torch's global generator.
    device : torch.device
        Where the row numbers are wanted.
    """

    def __init__(self, rows: int, batch_size: int, smallest: int, seed: int, device: torch.device) -> None:
        self.rows, self.batch_size, self.smallest, self.device = rows, min(batch_size, rows), smallest, device
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        rest = self.rows % self.batch_size
        return self.rows // self.batch_size + (rest >= self.smallest and rest > 0)

    def __iter__(self) -> Iterator[torch.Tensor]:
        order = torch.randperm(self.rows, generator=self.generator).to(self.device)
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            yield order[start : start + self.batch_size]


class InputRows(ABC):
    """The inputs of many rows, in the form that keeps them small: tensors for a network only per batch."""

    chunk = 16_384
    """Rows of a forward pass in which no gradient is needed."""
    lengths: np.ndarray | None = None
    """How many tokens each row has, where rows are sequences."""
    remedy: str | None = None
    """What makes their batches come faster; None if nothing is known."""

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    def select(self, rows: np.ndarray) -> Self:
        """Return the inputs of some rows (numbers, or bool), in the same form."""

    @abstractmethod
    def to(self, device: torch.device) -> Self:
        """Return them where batches can be taken from them fast."""

    @abstractmethod
    def take(self, rows: torch.Tensor | slice) -> Inputs:
        """Return what a network reads of some rows, on the device."""

    def take_next(self, rows: torch.Tensor | slice) -> Inputs:
        """Return the same for the one batch that is in use: it may lie where the batch before it did."""
        return self.take(rows)

    def each(self, batches: Iterator[Any]) -> Iterator[tuple[Any, Inputs]]:
        """Yield the rows of each training batch with what ``take_next`` returns of them; some may be read ahead."""
        for rows in batches:
            yield rows, self.take_next(rows)

    def order(self, batch_size: int, smallest: int, seed: int, device: torch.device) -> Order:
        """Return the order in which batches of these rows train."""
        return ShuffledOrder(len(self), batch_size, smallest, seed, device)

    def chunks(self) -> Sequence[torch.Tensor | slice]:
        """Return all rows, in the pieces of forward passes in which no gradient is needed."""
        return [slice(start, start + self.chunk) for start in range(0, max(len(self), 1), self.chunk)]

    def finite(self) -> np.ndarray | None:
        """Return which rows hold only finite numbers in the type that a network reads, bool; None if all do."""
        return None

    def dense(self) -> InputRows:
        """Return the same rows in a form that is fast to change: one tensor where they are of one shape."""
        found = self.take(slice(0, len(self)))
        assert isinstance(found, torch.Tensor)
        return DenseRows(found)

    def part_of(self, of: np.ndarray) -> InputRows:
        """Return the rows of the data set that some rows are of, where several are joined; else all."""
        return self

    def shuffled(self, inputs: Sequence[int], order: np.ndarray, of: np.ndarray | None = None) -> InputRows:
        """Return the same rows but for some inputs, which are those of the rows ``order``.

        Parameters
        ----------
        inputs : sequence of int
            As a ``Feature`` has them.
        order : ndarray of int, shape (n,)
        of : ndarray of bool, shape (n,), optional
            Where data sets are joined, the rows of the feature's own: only among those is anything changed.
        """
        return self.dense().shuffled(inputs, order, of)

    def replaced(self, inputs: Sequence[int], values: torch.Tensor, of: np.ndarray | None = None) -> InputRows:
        """Return the same rows but for some inputs, which are ``values``, (inputs,), in all of them."""
        return self.dense().replaced(inputs, values, of)

    def values_of(self, inputs: Sequence[int]) -> np.ndarray:
        """Return some inputs of all rows, (n, inputs), by their numbers as a ``Feature`` has them."""
        return self.dense().values_of(inputs)

    def align(self, labels: pd.Series, ids: pd.Series, where: str) -> pd.Series:
        """Return labels of tokens, cut to the tokens of each row. Raises UserError if they are not as many."""
        raise NotImplementedError("these rows have no tokens")


class NumberedRows(InputRows):
    """Rows by their numbers in a store on the host, which several parts of a split share: none copies it.

    Parameters
    ----------
    numbers : ndarray of int64, shape (n,)
        Of the rows in the store.
    device : torch.device
        Where batches are wanted.
    """

    def __init__(self, numbers: np.ndarray, device: torch.device) -> None:
        self.numbers, self.device = numbers, device

    def __len__(self) -> int:
        return len(self.numbers)

    def chosen(self, rows: torch.Tensor | slice) -> np.ndarray:
        """Return the numbers of some rows in the store."""
        return self.numbers[rows if isinstance(rows, slice) else rows.cpu().numpy()]

    def order(self, batch_size: int, smallest: int, seed: int, device: torch.device) -> Order:
        """Return the order of training: row numbers stay on the host, where the store is."""
        return ShuffledOrder(len(self), batch_size, smallest, seed, CPU)


class DenseRows(InputRows):
    """Rows that are one tensor: features as float32, images as the bytes they are.

    Parameters
    ----------
    values : ndarray or Tensor of shape (n, ...)
    """

    def __init__(self, values: np.ndarray | torch.Tensor) -> None:
        self.values = torch.as_tensor(values)
        if self.values.dim() > 2:
            self.chunk = 1024

    def __len__(self) -> int:
        return len(self.values)

    def select(self, rows: np.ndarray) -> DenseRows:
        return DenseRows(self.values[torch.from_numpy(rows)])

    def to(self, device: torch.device) -> DenseRows:
        return DenseRows(self.values.to(device))

    def take(self, rows: torch.Tensor | slice) -> torch.Tensor:
        return self.values[rows]

    def dense(self) -> DenseRows:
        return self

    def shuffled(self, inputs: Sequence[int], order: np.ndarray, of: np.ndarray | None = None) -> DenseRows:
        return self.replaced(inputs, self.values.flatten(1)[:, list(inputs)][torch.from_numpy(order)])

    def replaced(self, inputs: Sequence[int], values: torch.Tensor, of: np.ndarray | None = None) -> DenseRows:
        found = self.values.clone()
        found.flatten(1)[:, list(inputs)] = values  # a view: the clone lies in one piece
        return DenseRows(found)

    def values_of(self, inputs: Sequence[int]) -> np.ndarray:
        return np.asarray(self.values.flatten(1)[:, list(inputs)])

    def finite(self) -> np.ndarray | None:
        if not self.values.is_floating_point() or bool(self.values.isfinite().all()):
            return None
        return np.asarray(self.values.flatten(1).isfinite().all(1).cpu().numpy())


class CodedRows(InputRows):
    """Rows of features whose categories are held as a number each, and become an input for each level per batch.

    Parameters
    ----------
    numbers : Tensor of shape (n, numbers), float32
        The inputs that are no levels.
    places : Tensor of shape (numbers,), int64
        Where they are among the inputs.
    codes : Tensor of shape (n, categories), int32
        The input that is 1 larger than in ``none``, of each category's; −1 for none.
    none : Tensor of shape (inputs,), float32
        The inputs of a row that has no level of any category.
    """

    def __init__(self, numbers: torch.Tensor, places: torch.Tensor, codes: torch.Tensor, none: torch.Tensor) -> None:
        self.numbers, self.places, self.codes, self.none = numbers, places, codes, none
        self.chunk = min(InputRows.chunk, max(256, 2**21 // max(len(none), 1)))
        self._batch = none.new_empty((0, len(none)))

    def __len__(self) -> int:
        return len(self.codes)

    def select(self, rows: np.ndarray) -> CodedRows:
        chosen = torch.from_numpy(rows)
        return CodedRows(self.numbers[chosen], self.places, self.codes[chosen], self.none)

    def to(self, device: torch.device) -> CodedRows:
        moved = (tensor.to(device) for tensor in (self.numbers, self.places, self.codes, self.none))
        return CodedRows(*moved)

    def take(self, rows: torch.Tensor | slice) -> torch.Tensor:
        codes = self.codes[rows]
        return self._fill(self.none.repeat(len(codes), 1), codes, self.numbers[rows])

    def take_next(self, rows: torch.Tensor | slice) -> torch.Tensor:
        """Fill one buffer anew: an allocator keeps several batches of ten thousand inputs, by chance a gigabyte."""
        codes = self.codes[rows]
        if len(codes) > len(self._batch):
            self._batch = self.none.new_empty((len(codes), len(self.none)))
        return self._fill(self._batch[: len(codes)].copy_(self.none), codes, self.numbers[rows])

    def _fill(self, inputs: torch.Tensor, codes: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
        codes = codes.long()
        # a level that is not there adds 0 to the first input, which may be another category's
        inputs.scatter_add_(1, codes.clamp(min=0), (codes >= 0).to(inputs.dtype))
        inputs[:, self.places] = numbers
        return inputs

    def finite(self) -> np.ndarray | None:
        return DenseRows(self.numbers).finite()
