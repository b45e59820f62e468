"""What YAML says of texts, in a column of a table or in a CoNLL file: `mtl train dataset=text dataset.path=…`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import component, components, file_suffixes, kind_of_file
from mtl_cli.config.schema import Config
from mtl_cli.data.base import Notice
from mtl_cli.data.files import STDIN, read_bytes
from mtl_cli.data.split import SplitConfig
from mtl_cli.data.tables.config import TableSource
from mtl_cli.data.tables.encoding import decode
from mtl_cli.data.tables.features import feature_names
from mtl_cli.data.tables.text import MISSING
from mtl_cli.data.text.conll import DOCUMENT, read_conll
from mtl_cli.data.text.reader import TextEncoder
from mtl_cli.tasks.task import TaskConfig

if TYPE_CHECKING:
    import pandas as pd

    from mtl_cli.data.tables.reader import TokenEncoder

FEWEST_DOCUMENTS = 30
"""With fewer, a part of a random split would be the texts of one or two."""


@component("dataset", "text")
@dataclass(frozen=True, kw_only=True)
class Text(TableSource):
    """Texts in a column of a table of any form, with its other columns as features, or in a CoNLL file without any.

    Parameters
    ----------
    text : str or list of str
        The column of texts; several are joined. In a CoNLL file, what the words are called.
    columns : list of str, optional
        What the columns of a CoNLL file are called, where it does not say.
    cut : {"auto", "spaces", "words"}
        Where a text is cut into words; ``auto``: at spaces in a CoNLL file and where a task labels words, else between
        letters and symbols too.
    documents : {"together", "apart"}
        Of a CoNLL file that says which document each text is of: whether a random split, and folds, keep the texts of
        one on one side.
    max_length : int, optional
        The most words of a text.
    pieces : str, optional
        The folder, or name at the Hugging Face hub, of a tokenizer: the network reads its pieces of words. A trunk that
        was pretrained on some brings its own.
    missing : list of str
        What an empty cell may be written as, beside nothing at all; not in texts, ids and groups.
    """

    text: str | list[str] = "text"
    columns: list[str] | None = None
    cut: Literal["auto", "spaces", "words"] = "auto"
    documents: Literal["together", "apart"] = "together"
    max_length: PositiveInt | None = None
    pieces: str | None = None
    missing: list[str] = field(default_factory=lambda: list(MISSING))

    suffixes: ClassVar[tuple[str, ...]] = tuple(
        f"{suffix}{packed}" for suffix in (".conll", ".conllu", ".iob2") for packed in ("", ".gz")
    )
    reading_keys: ClassVar[tuple[str, ...]] = (*TableSource.reading_keys, "columns")

    @property
    def input_kind(self) -> Literal["text", "pieces"]:  # type: ignore[override]
        return "text" if self.pieces is None else "pieces"

    def with_pieces(self, tokenizer: str) -> Text:
        return self if self.pieces is not None else replace(self, pieces=tokenizer)

    @property
    def fixed_shape(self) -> bool:
        return False

    @property
    def keeps_encoder(self) -> bool:
        return False

    @property
    def longest(self) -> int | None:
        return self.max_length

    def input_hint(self, kind: str) -> str | None:
        return "dataset.pieces=FOLDER" if kind == "pieces" else None

    @property
    def token_columns(self) -> list[str]:
        return [self.text] if isinstance(self.text, str) else list(self.text)

    @property
    def example(self) -> str:
        """What a new file to predict may be called."""
        return "new.conll" if self.is_conll else "new.csv"

    @property
    def is_conll(self) -> bool:
        """Whether the file is one of words with tags, not a table of texts."""
        return self.path.lower().endswith(self.suffixes)

    def check(self, config: Config) -> Iterator[Problem]:
        yield from super().check(config)
        if self.sequence is not None:
            yield Problem("dataset.sequence", "is for proteins; dataset.text names the column of texts")
        if not self.token_columns:
            yield Problem("dataset.text", "names no column", "dataset.text=COLUMN")
        if not self.is_conll and self._table() is None:
            hint = f"choose from {file_suffixes()}"
            yield Problem("dataset.path", f"{self.path} does not look like a table, or CoNLL, by its name", hint)
        labels_words = any(task is not None and task.level == "token" for task in (config.tasks or {}).values())
        if labels_words and self.cut == "words":
            yield Problem("dataset.cut", "is words, and a task's tags are for what stands between spaces", "spaces")

    def _table(self) -> TableSource | None:
        """Return the config of the table that the texts are in; None if its name is of no table."""
        kind = self.piped if self.path == STDIN else kind_of_file(self.path)
        made = None if kind is None else components("dataset")[kind]
        if made is None or not issubclass(made, TableSource) or issubclass(made, Text):
            return None
        source: TableSource = made(path=self.path)
        return source

    def other(self, path: str) -> Text:
        found = replace(self, path=path)
        if not found.is_conll and found._table() is None:
            what = "does not look like a table, or CoNLL, by its name"
            raise UserError(path, what, f"it must end in one of {file_suffixes()}")
        return found

    def read_file(self, text_columns: list[str], notice: Notice) -> pd.DataFrame:
        """Read the texts, and lists of words or tags as texts; columns in ``text_columns`` stay as they are written."""
        if self.is_conll:
            text = decode(read_bytes(self.path), self.path, None, notice)
            return read_conll(text, self.path, self.columns, self.token_columns[0])
        source = self._table()
        assert source is not None
        table = source.read([*text_columns, *self.token_columns], notice)
        for name in self.token_columns:
            if name not in table.columns:
                hint = did_you_mean(name, table.columns)
                raise UserError("dataset.text", f"{self.path} has no column '{name}'", hint)
        return joined_lists(table)

    def feature_columns(self, table: pd.DataFrame, targets: list[str], others: list[str]) -> list[str]:
        """Return the columns beside the texts that are features: of a CoNLL file those that are asked for."""
        taken = [*targets, *others, *self.token_columns]
        wanted = self.features.include
        if wanted == [] or (
            wanted is None and (self.is_conll or set(table.columns) <= {*taken, *self.features.exclude})
        ):
            return []
        return feature_names(self.features, table, targets, [*others, *self.token_columns])

    def split_of(self, table: pd.DataFrame, targets: Sequence[str], notice: Notice) -> SplitConfig:
        """Return how texts are split: at random by whole documents, where these are known and are no label."""
        split = self.split
        drawn = not (split.named_columns() or split.by or split.file) and (split.test > 0 or split.val > 0)
        known = self.is_conll and DOCUMENT in table.columns and DOCUMENT not in [*targets, *(self.columns or [])]
        if self.documents == "apart" or not (drawn and known):
            return split
        count = table[DOCUMENT].nunique(dropna=False)
        if not FEWEST_DOCUMENTS <= count < len(table):
            return split
        notice(
            f"{self.path}: the {len(table):,} texts are of {count:,} documents, "
            "each of which stays in one part (dataset.documents=apart: they need not)"
        )
        return replace(split, group=DOCUMENT)

    def token_encoder(self, tasks: Mapping[str, TaskConfig]) -> TokenEncoder:
        cut = self.cut
        if cut == "auto":
            spaces = self.is_conll or any(task.level == "token" for task in tasks.values())
            cut = "spaces" if spaces else "words"
        tokenizer = None
        if self.pieces is not None:
            from mtl_cli.data.text.pieces import tokenizer_text

            tokenizer = tokenizer_text(self.pieces)
        return TextEncoder(self.token_columns, self.id, cut, self.max_length, self.truncate, tokenizer=tokenizer)


def joined_lists(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which lists of words or tags are texts, with spaces between them."""
    import numpy as np

    found = {}
    for name, values in table.items():
        if values.dtype == object and any(isinstance(value, list | np.ndarray) for value in values):
            joined = [" ".join(map(str, v)) if isinstance(v, list | np.ndarray) else v for v in values]
            found[str(name)] = joined
    return table.assign(**found) if found else table
