"""A Gaussian prior that the tasks share and that is learnt from them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from mtl_cli.config.convert import PositiveInt
from mtl_cli.config.errors import Problem, unknown_tasks
from mtl_cli.config.registry import component
from mtl_cli.models.regularizer import Regularizer, RegularizerConfig, Training


@component("regularizer", "prior")
@dataclass(frozen=True, kw_only=True)
class SharedPrior(RegularizerConfig):
    """W_t ~ N(μ, Σ) for all tasks t, with μ and a diagonal Σ learnt from the tasks: hierarchical Bayes.

    W_t is the weight of the last linear layer of task t's head, (outputs, units), without its bias; all are of one
    shape. The network is trained on the posterior's mode: with n_t labelled rows, whose mean loss is L_t, and −log p of
    a label being β_t times its loss, task t's loss becomes

        L_t + ½ (W_t − μ)ᵀ Σ⁻¹ (W_t − μ) / (β_t n_t),

    so that a task with few rows is held to the others and one with many goes its own way. β_t is 1 for losses that are
    likelihoods and 1 / (2 s_t²) for squared error, s_t² the noise. Once an epoch, over the training rows and without
    dropout, the posterior of each W_t is taken to be normal (Laplace), with the inverse of S_t = (A_t + Σ⁻¹)⁻¹, A_t the
    second derivative of the negative log likelihood, and, as in the EM algorithm of Bakker & Heskes (JMLR 2003, vol. 4,
    83–99), with m_t = W_t as reached:

        μ = mean_t m_t,   Σ = diag mean_t [(m_t − μ)² + diag S_t],   s_t² = L_t + Σ_i h_iᵀ S_t h_i / n_t,

    h_i what the last layer reads. The posterior's variance keeps Σ from collapsing on 0, as it would in the mode of
    all. The evidence, for ``evidence_prior`` in the history, is

        log p(y) = Σ_t [log p(y_t | W_t) − ½ (W_t − μ)ᵀ Σ⁻¹ (W_t − μ) − ½ log |I + Σ^½ A_t Σ^½|].

    It is exact for squared error and a W_t that is at the mode, given trunk, biases and s_t; else it is Laplace's
    approximation, with A_t of a task of several outputs taken block by output.

    Parameters
    ----------
    tasks : list of str, optional
        Those that share the prior; by default all.
    scale : {"diagonal", "scalar"}
        A variance for each weight, or one for all: steadier with few tasks.
    every : int
        Epochs between two looks at the training rows.

    Notes
    -----
    There is no λ: Σ is the strength. It starts at μ = 0, Σ = I and s_t² = 1. A task's ``weight`` multiplies its own
    term; a schedule of it, and weights of a balancer other than 1, temper the likelihood. A step in which a task has no
    label leaves its term out, or a task that is rarely in a batch would feel it more often than its labels.
    """

    tasks: list[str] | None = None
    scale: Literal["diagonal", "scalar"] = "scalar"
    every: PositiveInt = 1

    compares_heads: ClassVar[bool] = True
    reads_likelihoods: ClassVar[bool] = True

    def acts_on(self, tasks: Sequence[str]) -> Sequence[str]:
        return self.tasks or tasks

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        """Yield tasks that are none, or too few."""
        yield from unknown_tasks(self.tasks or [], tasks, "regularizer.tasks")
        if len({name for name in self.acts_on(tasks) if name in tasks}) < 2:
            yield Problem("regularizer", "a shared prior needs two tasks", "regularizer=l2 for one")

    def build(self, training: Training) -> Regularizer:
        from mtl_cli.models.shared_prior import build_prior

        return build_prior(training, self.tasks or list(training.tasks), self.scale == "diagonal", self.every)
