"""What the results of the benchmark of the defaults come to, as tables of Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from tests.bench.rivals import RIVALS
from tests.bench.tables import half

FLOOR = -1.0
"""A skill that is as bad as it gets: one stray reading in a test row may make it any number."""


def read(path: Path, tables: Sequence[str], methods: Sequence[str]) -> pd.DataFrame:
    """Return the results of these tables and methods."""
    found = pd.read_csv(path, dtype={"split": str})
    return found[found["table"].isin(tables) & found["method"].isin(methods)]


def show(found: pd.DataFrame, methods: Sequence[str]) -> None:
    """Print each method's mean skill by table, its mean rank, its lead over the first method, and its time.

    Only splits count on which all methods were run. The lead is the mean over tables with its standard error, the time
    the median over tables of the ratio to the first method. In means, what is worse than ``FLOOR`` counts as that.
    """
    by_split = found.groupby(["table", "split", "method"])[["skill", "seconds"]].mean().unstack("method").dropna()
    skill, seconds = (by_split[key].groupby("table").mean()[methods] for key in ("skill", "seconds"))
    used = by_split.groupby("table").size()
    first = methods[0]
    print(f"| table | splits | {' | '.join(methods)} |\n|---|{'---|' * (len(methods) + 1)}")
    for name, row in skill.iterrows():
        print(f"| {name} | {used[name]} | {' | '.join(f'{value:.3f}' for value in row)} |")
    lead = skill.clip(FLOOR).sub(skill[first].clip(FLOOR), axis=0)
    error = lead.std() / np.sqrt(len(lead))
    cells = {
        "mean skill": [f"{value:.3f}" for value in skill.clip(FLOOR).mean()],
        "median skill": [f"{value:.3f}" for value in skill.median()],
        "mean rank": [f"{value:.2f}" for value in skill.rank(axis=1, ascending=False).mean()],
        f"lead over {first}": [f"{lead[m].mean():+.3f} ± {error[m]:.3f}" for m in methods],
        "ahead, behind": [f"{(lead[m] > 0).sum()}, {(lead[m] < 0).sum()}" for m in methods],
        "time": [f"{value:.2f}" for value in seconds.div(seconds[first], axis=0).median()],
    }
    for label, values in cells.items():
        print(f"| {label} | | {' | '.join(values)} |")


def show_halves(found: pd.DataFrame) -> None:
    """Print, of each half: mtl before, now and with one split beside the best of scikit-learn's models.

    Only splits count on which all methods were run. ``now − before`` is the mean over splits ± its standard error.
    Ranks are of the mean skills on each table, among mtl as it is now and scikit-learn's models. Seconds are the median
    over tables of the ratio to ``before``, and without it to ``mtl``.
    """
    ours = [name for name in ("before", "mtl", "one split") if name in set(found["method"])]
    six = ["mtl", *RIVALS]
    base = ours[0]
    for part in ("choose", "report"):
        own = found[[half(name) == part for name in found["table"]]]
        by_split = own.groupby(["table", "split", "method"])[["skill", "seconds"]].mean().unstack("method").dropna()
        skill, seconds = (by_split[key].groupby("table").mean() for key in ("skill", "seconds"))
        used, capped = by_split.groupby("table").size(), by_split["skill"].clip(FLOOR)
        title = "Tables that were used to choose" if part == "choose" else "Tables that were not"
        print(f"\n{title}\n")
        print(f"| table | splits | {' | '.join(ours)} | now − before | best of five |")
        print(f"|---|{'---|' * (len(ours) + 3)}")
        gain = capped["mtl"] - capped[base]
        for name, row in skill.iterrows():
            over = gain.xs(name, level="table")
            best = row[list(RIVALS)].idxmax()
            gained = f"{over.mean():+.3f} ± {over.std() / np.sqrt(len(over)):.3f}"
            cells = " | ".join(f"{row[m]:.3f}" for m in ours)
            print(f"| {name} | {used[name]} | {cells} | {gained} | {row[best]:.3f} {best} |")
        floored, best_of = skill.clip(FLOOR), skill[list(RIVALS)].max(axis=1).clip(FLOOR)
        means = " | ".join(f"{value:.3f}" for value in floored[ours].mean())
        print(f"| mean skill | | {means} | {(floored['mtl'] - floored[base]).mean():+.3f} | {best_of.mean():.3f} |")
        ratio = seconds.div(seconds[base], axis=0).median()
        print(f"| time | | {' | '.join(f'{ratio[m]:.2f}' for m in ours)} | | |\n")
        rank = skill[six].rank(axis=1, ascending=False).mean()
        print(f"| | {' | '.join(six)} |\n|---|{'---|' * len(six)}")
        print(f"| mean rank | {' | '.join(f'{rank[m]:.2f}' for m in six)} |")
        print(f"| mean skill | {' | '.join(f'{floored[m].mean():.3f}' for m in six)} |")
        print(f"| time | {' | '.join(f'{ratio[m]:.2f}' for m in six)} |")


def show_rrmse(found: pd.DataFrame, methods: Sequence[str]) -> None:
    """Print √(Σ squared error / Σ squared error of the training mean), mean over targets and folds ± its error."""
    found = found.assign(rrmse=np.sqrt(found["error"] / found["constant"]))
    by_split = found.groupby(["table", "split", "method"])["rrmse"].mean().unstack("method").dropna()
    for name, own in by_split.groupby("table"):
        cells = [f"{own[m].mean():.3f} ± {own[m].std() / np.sqrt(len(own)):.3f}" for m in methods]
        print(f"| {name} | {len(own)} | {' | '.join(cells)} |")
