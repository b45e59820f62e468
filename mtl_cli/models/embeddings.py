"""How numbers become vectors before the first layer of a trunk: the config, and what it needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from mtl_cli.config.convert import Bound, PositiveFloat, PositiveInt
from mtl_cli.config.errors import Problem, UserError

if TYPE_CHECKING:
    from torch import nn

    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.bins import Bins
    from mtl_cli.models.embedding_layers import Embedded

TABULAR = "pip install 'mtl-cli[tabular]'"
OURS = ("auto", "none", "bins")
"""The kinds that need no further package."""
USED = {
    "width": ("linear", "periodic", "piecewise"),
    "bins": ("auto", "bins", "piecewise"),
    "frequencies": ("periodic",),
    "sigma": ("periodic",),
}
"""The kinds that go by a setting."""
FORMER = {"bins": 16}
"""A default of earlier versions, which configs of their runs hold whatever their kind."""
FEW, MOST = 32, 512
"""Numbers of a table up to which ``auto`` takes 8 bins of each, and 4."""


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Vectors in place of numbers (Gorishniy et al. 2022, arXiv 2203.05556), each feature with weights of its own.

    Levels of categories, booleans and marks of missing values are 0 or 1 and stay as they are.

    Parameters
    ----------
    kind : {"auto", "none", "bins", "linear", "periodic", "piecewise"}
        ``bins``: the number itself and, beside it, how far it reaches into each bin between quantiles of the training
        rows; it needs no weights, and no package. ``auto``: that, for the named columns of a table with at most
        ``MOST`` numbers, where a linear model gains by it on rows left out; else none. ``linear``: relu(w x + b).
        ``periodic``: relu(W [cos 2πcx, sin 2πcx] + b) with learned frequencies c. ``piecewise``: a linear function of
        x that also bends at the quantiles of the training rows.
    width : int
        Of the vector.
    bins : int, or "auto"
        Of ``bins`` and ``piecewise``: how many; a feature with fewer distinct values has fewer. ``auto`` is 16 of
        ``piecewise``; of ``bins`` 8, or 4 of more than ``FEW`` numbers.
    frequencies : int
        Of ``periodic``: how many.
    sigma : float
        Of ``periodic``: the deviation of the first frequencies, for inputs of deviation 1.
    """

    kind: Literal["auto", "none", "bins", "linear", "periodic", "piecewise"] = "none"
    width: PositiveInt = 16
    bins: Annotated[int, Bound(at_least=2, at_most=1000)] | Literal["auto"] = "auto"
    frequencies: PositiveInt = 16
    sigma: PositiveFloat = 0.05

    def check(self) -> Iterator[Problem]:
        """Yield what keeps these embeddings from being made."""
        if self.kind not in OURS and importlib.util.find_spec("rtdl_num_embeddings") is None:
            what = f"{self.kind} needs the package rtdl_num_embeddings"
            yield Problem("model.trunk.embeddings.kind", what, TABULAR)
        for name, kinds in USED.items():
            if self.kind in kinds or getattr(self, name) in (getattr(Embeddings, name), FORMER.get(name)):
                continue
            what = f"has no effect with model.trunk.embeddings.kind={self.kind}"
            yield Problem(f"model.trunk.embeddings.{name}", what, f"kind={' or '.join(kinds)} has it")

    @property
    def chosen(self) -> bool:
        """Whether the config asks for embeddings of numbers, of a data set that has some."""
        return self.kind not in ("auto", "none")

    def build(self, spec: InputSpec) -> Embedded | Bins | None:
        """Build the layer for rows as ``spec`` has them; None if there is to be none.

        Raises
        ------
        UserError
            If no input is a number, or bins are asked for where ``auto`` has none.
        """
        if self.kind == "none":
            return None
        indicators = set(spec.indicators)
        numbers = [i for i in range(spec.width) if i not in indicators] if spec.kind == "features" else []
        if self.kind == "auto" and not (spec.names and 0 < len(numbers) <= MOST):
            if self.bins not in ("auto", FORMER["bins"]):
                what = f"has no effect with kind=auto: the inputs are not the numbers of a table, or more than {MOST}"
                raise UserError(
                    "model.trunk.embeddings.bins", what, "leave it out, or model.trunk.embeddings.kind=bins"
                )
            return None
        if not numbers:
            raise UserError(
                "model.trunk.embeddings.kind", f"{self.kind} embeds numbers, and every input is a category",
                "model.trunk.embeddings.kind=none",
            )  # fmt: skip
        if self.kind in OURS:
            from mtl_cli.models.bins import Bins

            bins = (8 if len(numbers) <= FEW else 4) if self.bins == "auto" else self.bins
            return Bins(spec.width, numbers, bins, tried=self.kind == "auto")
        from mtl_cli.models.embedding_layers import Embedded

        return Embedded(self._layer(len(numbers)), numbers, sorted(indicators), self.width)

    def _layer(self, features: int) -> nn.Module:
        """Return the layer itself, (n, features) to (n, features, width)."""
        import rtdl_num_embeddings

        from mtl_cli.models.embedding_layers import PiecewiseLinear

        if self.kind == "piecewise":
            return PiecewiseLinear(features, self.width, 16 if self.bins == "auto" else self.bins)
        layer: nn.Module
        if self.kind == "periodic":
            layer = rtdl_num_embeddings.PeriodicEmbeddings(
                features, self.width, n_frequencies=self.frequencies, frequency_init_scale=self.sigma, lite=False
            )
        else:
            layer = rtdl_num_embeddings.LinearReLUEmbeddings(features, self.width)
        return layer
