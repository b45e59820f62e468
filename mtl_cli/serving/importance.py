"""What each feature is worth to each task, as `mtl explain` finds it on the run's test rows, where that is cheap."""

from __future__ import annotations

import asyncio
import shlex
from typing import Any

from mtl_cli.config.errors import UserError
from mtl_cli.serving.limits import HTTPError, refused
from mtl_cli.serving.served import Served

CELLS = 200_000
"""Rows times features times members that are shuffled at most: some seconds."""
MOST_ROWS = 500
"""Test rows that are taken."""


async def importance_of(served: Served, lock: asyncio.Lock) -> dict[str, Any]:
    """Return rows as `mtl explain RUN --format json` prints them, found once for each model that is loaded.

    Parameters
    ----------
    served : Served
    lock : Lock
        Held while it is found: nothing else is found meanwhile.

    Raises
    ------
    HTTPError
        With the command that finds them, where that takes long or the test rows are not to be had.
    """
    async with lock:
        if not served.importance:
            served.importance.extend(await asyncio.to_thread(_compute, served))
    return {"model": served.name, "importance": served.importance}


def _compute(served: Served) -> list[dict[str, Any]]:
    import numpy as np

    from mtl_cli.inference.explain.importance import importance
    from mtl_cli.inference.explain.rows import explained
    from mtl_cli.reports.explained import importance_rows

    def notice(line: str) -> None:
        pass

    command = f"mtl explain {shlex.quote(served.path)}"
    try:
        examples = served.model.test_rows(notice)[0]
        if len(examples.inputs) > MOST_ROWS:
            examples = examples.select(np.sort(np.random.default_rng(0).permutation(len(examples.inputs))[:MOST_ROWS]))
        cells = len(examples.inputs) * len(served.model.reader.places(examples)) * len(served.model.members)
        if cells > CELLS:
            raise refused(409, "importance", "takes long for this model", command)
        return [dict(row) for row in importance_rows(importance(explained(served.model, examples, notice), notice, 3))]
    except UserError as error:
        hint = refused(409, "importance", "the test rows cannot be read", f"{command} DATA")
        raise HTTPError(409, *hint.problems, *error.problems) from error
