"""The layers in front of the trunk where data sets of different features are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from mtl_cli.config.errors import UserError
from mtl_cli.config.schema import Adapter, Model
from mtl_cli.data.inputs import InputSpec
from mtl_cli.models.layers import ACTIVATIONS


class Adapters(nn.Module):
    """A linear layer and an activation per data set, which bring its features to the trunk's width.

    They are no shared parameters: each is trained by the tasks of its own data set alone, on w_t L_t.

    Parameters
    ----------
    specs : mapping of str to InputSpec
        By data set.
    config : Adapter
    """

    def __init__(self, specs: Mapping[str, InputSpec], config: Adapter) -> None:
        super().__init__()
        self.specs = dict(specs)
        self.adapters = nn.ModuleList(
            nn.Sequential(nn.Linear(spec.width, config.width), ACTIVATIONS[config.activation]())
            for spec in specs.values()
        )

    def by_dataset(self) -> dict[str, nn.Module]:
        """Return each data set's adapter."""
        return dict(zip(self.specs, self.adapters, strict=True))

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return all rows, one data set's after the other's, (n, width); one that has none is passed over."""
        there = [(adapter, rows) for adapter, rows in zip(self.adapters, inputs, strict=True) if len(rows)]
        return torch.cat([adapter(rows) for adapter, rows in there or [(self.adapters[0], inputs[0])]])


def build_entry(config: Model, spec: InputSpec) -> tuple[Adapters | None, InputSpec]:
    """Return the layers in front of the trunk, if any, and what the trunk reads.

    Raises
    ------
    UserError
        If the trunk has embeddings, which are of a table's own numbers, and adapters would come before them.
    """
    if spec.kind != "joint":
        return None, spec
    if config.trunk.embeds_numbers:
        what = "embeds a table's own numbers, which tables of different features bring to an adapter first"
        raise UserError("model.trunk.embeddings.kind", what, "model.trunk.embeddings.kind=none")
    return Adapters(spec.parts, config.adapter), InputSpec("features", (config.adapter.width,))
