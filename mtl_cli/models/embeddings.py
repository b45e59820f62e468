"""How numbers become vectors before the first layer of a trunk: the config, and what it needs."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from mtl_cli.config.convert import Bound, PositiveFloat, PositiveInt
from mtl_cli.config.errors import Problem, UserError

if TYPE_CHECKING:
    from mtl_cli.data.inputs import InputSpec
    from mtl_cli.models.embedding_layers import Embedded

TABULAR = "pip install 'mtl-cli[tabular]'"


@dataclass(frozen=True, kw_only=True)
class Embeddings:
    """Vectors in place of numbers (Gorishniy et al. 2022, arXiv 2203.05556), each feature with weights of its own.

    Levels of categories, booleans and marks of missing values are 0 or 1 and stay as they are.

    Parameters
    ----------
    kind : {"none", "linear", "periodic", "piecewise"}
        ``linear``: relu(w x + b). ``periodic``: relu(W [cos 2πcx, sin 2πcx] + b) with learned frequencies c.
        ``piecewise``: a linear function of x that also bends at the quantiles of the training rows.
    width : int
        Of the vector.
    bins : int
        Of ``piecewise``: how many; a feature with fewer distinct values has fewer.
    frequencies : int
        Of ``periodic``: how many.
    sigma : float
        Of ``periodic``: the deviation of the first frequencies, for inputs of deviation 1.
    """

    kind: Literal["none", "linear", "periodic", "piecewise"] = "none"
    width: PositiveInt = 16
    bins: Annotated[int, Bound(at_least=2)] = 16
    frequencies: PositiveInt = 16
    sigma: PositiveFloat = 0.05

    def check(self) -> Iterator[Problem]:
        """Yield what keeps these embeddings from being made."""
        if self.kind != "none" and importlib.util.find_spec("rtdl_num_embeddings") is None:
            what = f"{self.kind} needs the package rtdl_num_embeddings"
            yield Problem("model.trunk.embeddings.kind", what, TABULAR)

    def build(self, spec: InputSpec) -> Embedded | None:
        """Build the layer for rows as ``spec`` has them; None if there is to be none.

        Raises
        ------
        UserError
            If no input is a number.
        """
        if self.kind == "none":
            return None
        from mtl_cli.models.embedding_layers import Embedded, embedding_layer

        indicators = set(spec.indicators)
        numbers = [i for i in range(spec.width) if i not in indicators]
        if not numbers:
            raise UserError(
                "model.trunk.embeddings.kind", f"{self.kind} embeds numbers, and every input is a category",
                "model.trunk.embeddings.kind=none",
            )  # fmt: skip
        return Embedded(embedding_layer(self, len(numbers)), numbers, sorted(indicators), self.width)
