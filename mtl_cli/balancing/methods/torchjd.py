"""Weightings of the TorchJD library, as they are there."""

from __future__ import annotations

import functools
import importlib.util
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Literal

from mtl_cli.balancing.base import GramianBalancer
from mtl_cli.config.errors import Problem, UserError, did_you_mean
from mtl_cli.config.registry import component

if TYPE_CHECKING:
    import torch

    from mtl_cli.balancing.solvers.linalg import Array

Name = Literal["aligned_mtl", "cagrad", "dualproj", "fairgrad", "imtl_g", "krum", "mean", "mgda", "sum", "upgrad"]

CLASSES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "aligned_mtl": ("AlignedMTLWeighting", "", ()),
    "cagrad": ("CAGradWeighting", "cagrad", ("cvxpy", "clarabel")),
    "dualproj": ("DualProjWeighting", "quadprog_projector", ("qpsolvers", "quadprog")),
    "fairgrad": ("FairGradWeighting", "fairgrad", ("scipy",)),
    "imtl_g": ("IMTLGWeighting", "", ()),
    "krum": ("KrumWeighting", "", ()),
    "mean": ("MeanWeighting", "", ()),
    "mgda": ("MGDAWeighting", "", ()),
    "sum": ("SumWeighting", "", ()),
    "upgrad": ("UPGradWeighting", "quadprog_projector", ("qpsolvers", "quadprog")),
}
"""The class, TorchJD's extra that it needs, and what that installs. Those that draw, remember or need several
batches are left out, as their state could not be saved with a run; so are aggregators that are no weightings of the
Gramian, such as TrimmedMean, and scalarisers that trace a front by a preference for each point of it."""


@component("balancer", "torchjd")
@dataclass(frozen=True, kw_only=True)
class TorchJD(GramianBalancer):
    """w as a weighting of the library TorchJD 0.18 computes it from the Gramian (Quinton & Rey, arXiv 2406.16232).

    Parameters
    ----------
    weighting : str
        Which, from ``CLASSES``. The default, ``aligned_mtl``, is computed exactly, by an eigendecomposition, and needs
        no extra package; of the others without extras, ``mgda`` stops Frank–Wolfe's iterations before they have
        converged, ``imtl_g`` may give negative weights, ``mean`` and ``sum`` do not look at the gradients.
    options : dict of str to number or str
        Its settings, by TorchJD's names, such as ``c`` of cagrad.

    Notes
    -----
    ``upgrad`` and ``dualproj`` are regularised there: 1e-4 is added to the diagonal of the Gramian once it is brought
    to a trace of 1 (``reg_eps``). ``balancer=upgrad`` and ``balancer=dualproj`` solve the problem itself.
    """

    weighting: Name = "aligned_mtl"
    options: dict[str, float | int | str] = field(default_factory=dict)

    paper: ClassVar[str] = "Quinton & Rey 2024, arXiv 2406.16232"

    def check(self, tasks: Sequence[str]) -> Iterator[Problem]:
        yield from super().check(tasks)
        _, extra, modules = CLASSES[self.weighting]
        if missing := [module for module in modules if importlib.util.find_spec(module) is None]:
            hint = f"pip install 'torchjd[{extra}]'" + (f", or balancer={self.weighting}" if extra else "")
            yield Problem("balancer.weighting", f"'{self.weighting}' needs {' and '.join(missing)}", hint)
            return
        if self.options or self.weighting in ("cagrad", "fairgrad", "krum"):
            yield from self._check_options(len(tasks))

    def _check_options(self, tasks: int) -> Iterator[Problem]:
        parameters = inspect.signature(_class(self.weighting)).parameters
        for name in self.options:
            if name not in parameters:
                yield Problem(f"balancer.options.{name}", "unknown key", did_you_mean(name, parameters))
                return
        for name, parameter in parameters.items():
            if parameter.default is inspect.Parameter.empty and name not in self.options:
                yield Problem(f"balancer.options.{name}", "needs a value", f"give balancer.options.{name}=…")
                return
        import torch

        try:
            _build(self.weighting, tuple(sorted(self.options.items())))(torch.eye(tasks))
        except (TypeError, ValueError) as error:
            yield Problem("balancer.options", str(error))

    def solve(self, gramian: Array) -> Array:
        import torch

        from mtl_cli.balancing.solvers.linalg import as_array

        weigh = _build(self.weighting, tuple(sorted(self.options.items())))
        try:
            return as_array(weigh(torch.from_numpy(gramian)))
        except ValueError as error:
            what = f"'{self.weighting}' cannot weight the {len(gramian)} tasks that have a label in this step: {error}"
            raise UserError("balancer.weighting", what, "a larger trainer.batch_size, or another method") from error


def _class(name: str) -> type:
    import torchjd.aggregation

    found: type = getattr(torchjd.aggregation, CLASSES[name][0])
    return found


@functools.cache
def _build(name: str, options: tuple[tuple[str, float | int | str], ...]) -> Callable[[torch.Tensor], torch.Tensor]:
    found: Callable[[torch.Tensor], torch.Tensor] = _class(name)(**dict(options))
    return found
