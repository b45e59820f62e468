"""What a run's members say of the rows that were held out of their training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mtl_cli.inference.cross_validation import placed
from mtl_cli.inference.members import Outputs, average, outputs_of
from mtl_cli.training.build import Ready
from mtl_cli.training.members import Trained


def outputs_of_held_out(ready: Ready, trained: Sequence[Trained]) -> list[Outputs]:
    """Return the outputs by task, of each time that the rows fell into folds.

    Those on a row are of the members that had it held out, or their mean; NaN where a row never was.
    """
    held, part, tasks = ready.data.held_out, ready.data.parts["train"], ready.data.tasks
    assert held is not None
    repeats = []
    for repeat, own in enumerate(held.numbers):
        pieces = []
        for fold in range(own.max() + 1):
            rows = np.flatnonzero(own == fold)
            inputs = part.inputs.select(rows).to(ready.device)
            those = [one.model for one in trained if (one.member.repeat, one.member.fold) == (repeat, fold)]
            pieces.append((rows, average([outputs_of(model, inputs, tasks) for model in those], tasks)))
        repeats.append(placed(pieces, len(part)))
    return repeats
