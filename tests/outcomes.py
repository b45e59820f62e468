"""Generated tables whose labels are of the kinds that are no plain numbers or classes, and can be learnt."""

from __future__ import annotations

import numpy as np
import pandas as pd


def patients(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Patients: days until they died or were last seen, a stage from 1 to 4, and visits; some labels missing."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, 4))
    burden = inputs[:, 0] - 0.5 * inputs[:, 1] + 0.3 * inputs[:, 2]
    died, seen = random.exponential(np.exp(-burden)) * 400, random.uniform(60, 1200, rows)
    table = pd.DataFrame(inputs.round(3), columns=["age", "dose", "marker", "other"])
    table["days"] = np.ceil(np.minimum(died, seen))
    table["died"] = (died <= seen).astype(int)
    table["stage"] = np.clip(np.round(2.5 + burden + random.normal(0, 0.4, rows)), 1, 4).astype(int)
    table["visits"] = random.negative_binomial(4, 4 / (4 + np.exp(1 + 0.6 * burden)))
    table.loc[::8, ["days", "died"]] = np.nan
    table.loc[3::9, "visits"] = np.nan
    return table


def assays(rows: int = 240, seed: int = 0) -> pd.DataFrame:
    """Measurements below a limit of detection, off the scale, or known to a range; and a plain number."""
    random = np.random.default_rng(seed)
    inputs = random.normal(size=(rows, 4))
    level = 10 + 3 * inputs[:, 0] - 2 * inputs[:, 1] + random.normal(0, 0.7, rows)
    table = pd.DataFrame(inputs.round(3), columns=["a", "b", "c", "d"])
    table["dose"] = (inputs[:, 0] + random.normal(0, 0.3, rows)).round(3)
    table["level"] = [_written(value, place) for place, value in enumerate(level)]
    table.loc[5::10, "level"] = None
    return table


def _written(level: float, place: int) -> str:
    if level < 8:
        return "<8"
    if level > 15:
        return ">15"
    return f"{int(level)}-{int(level) + 1}" if place % 7 == 0 else f"{level:.2f}"
