"""The columns of a task's answers: what each is called, what it holds and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ColumnKind:
    """A kind of column that answers have.

    Parameters
    ----------
    pattern : str
        Its name, with ``{task}`` and, where a task has several, ``{of}``.
    holds : {"answer", "number", "probability", "text"}
        What its cells are; "answer" is the number, class or labels that the task predicts.
    meaning : str
        In words, for the help and for who writes a client.
    example : str
        What may stand for ``{of}``: a class (LABEL), a quantile (q05), a time (TIME).
    """

    pattern: str
    holds: Literal["answer", "number", "probability", "text"]
    meaning: str
    example: str = ""

    def end(self, of: object = "") -> str:
        """Return what follows the task's name, such as ``_prob``; nothing of the prediction itself."""
        return self.pattern.partition("{task}")[2].format(of=of)

    def named(self, task: str, of: object = "") -> str:
        """Return the name of the column of a task."""
        return self.pattern.format(task=task, of=of)

    def column(self, task: str, of: object = "") -> AnswerColumn:
        """Return the column of a task."""
        return AnswerColumn(self, self.named(task, of), str(of))


@dataclass(frozen=True)
class AnswerColumn:
    """A column of a task's answers.

    Parameters
    ----------
    kind : ColumnKind
    name : str
    of : str
        The class, quantile or time that it is of, where the task has several such columns.
    """

    kind: ColumnKind
    name: str
    of: str


PREDICTION = ColumnKind(
    "predicted_{task}", "answer",
    "the number or label; residue, token: a label per residue or word; empty where a number of the row is not finite;"
    " 'unknown' where --unknown says so",
)  # fmt: skip
PROBABILITY = ColumnKind(
    "predicted_{task}_prob", "probability",
    "binary: probability of the positive label, the second in order if the config names none; multiclass, ordinal: of"
    " the predicted label; residue, token: the mean of that over them",
)  # fmt: skip
CLASS_PROBABILITY = ColumnKind(
    "predicted_{task}_prob_{of}", "probability",
    "multilabel, and all classes by --probabilities all: probability of each label", "LABEL",
)  # fmt: skip
QUANTILE = ColumnKind(
    "predicted_{task}_{of}", "number",
    "quantile, interval, and regression with loss: quantile: each quantile; censored: the ends of the middle 90 %",
    "q05",
)  # fmt: skip
DEVIATION = ColumnKind("predicted_{task}_sd", "number", "count: the standard deviation of a single count")
RISK = ColumnKind("predicted_{task}_risk", "number", "survival with loss: cox: the logarithm of the relative hazard")
SURVIVAL = ColumnKind(
    "predicted_{task}_at_{of}", "probability", "survival: the share left without the event at that time", "TIME"
)
LOW = ColumnKind("{task}_low", "number", "numbers with an interval: its lower end")
HIGH = ColumnKind("{task}_high", "number", "numbers with an interval: its upper end")
SET = ColumnKind("{task}_set", "text", "classes with an interval: the likely ones, as a|b")
SPREAD = ColumnKind("{task}_spread", "number", "of several members: how far they are apart")
LABEL_SPREAD = ColumnKind("{task}_spread_{of}", "number", "multilabel: the same for each label", "LABEL")

KINDS = (
    PREDICTION, PROBABILITY, CLASS_PROBABILITY, QUANTILE, DEVIATION, RISK, SURVIVAL, LOW, HIGH, SET, SPREAD,
    LABEL_SPREAD,
)  # fmt: skip
"""Those of the kinds of task that come with mtl; a plugin's task may have others."""
