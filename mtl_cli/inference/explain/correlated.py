"""Features that say much the same: clusters by rank correlation."""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from mtl_cli.data.base import Notice
from mtl_cli.data.feature import Feature
from mtl_cli.inference.explain.rows import Explained

PLACES = ("pixels", "positions", "sequence", "image")
"""Kinds of features that lie beside others and are not compared with them."""
MOST = 3000
"""Inputs of which all pairs are compared."""
LONGEST = 3
"""Names that a cluster's name lists."""


def clusters(
    rows: Explained, features: list[Feature], threshold: float, notice: Notice
) -> list[tuple[Feature, tuple[str, ...]]]:
    """Return features joined, each with the names of those that it consists of.

    Two are as near as the two of their inputs that are most correlated, |ρ| of Spearman; marks of missing values are
    left out. In a cluster all pairs are at least as near as ``threshold`` (complete linkage).
    """
    found = []
    for dataset in dict.fromkeys(feature.dataset for feature in features):
        own = [f for f in features if f.dataset == dataset and f.kind not in PLACES]
        if sum(len(feature.inputs) for feature in own) > MOST:
            notice(f"more than {MOST:,} inputs: correlated features are not looked for")
        elif len(own) > 1:
            found += _joined(own, _nearness(rows, own), threshold)
    return found


def _joined(features: list[Feature], near: np.ndarray, threshold: float) -> list[tuple[Feature, tuple[str, ...]]]:
    tree = linkage(squareform(1 - near, checks=False), "complete")
    labels = fcluster(tree, 1 - threshold, "distance")
    found = []
    for label in np.unique(labels):
        own = [feature for feature, one in zip(features, labels, strict=True) if one == label]
        if len(own) > 1:
            names = [feature.name for feature in own]
            more = f" + {len(names) - LONGEST} more" if len(names) > LONGEST else ""
            inputs = [number for feature in own for number in feature.inputs]
            name = " + ".join(names[:LONGEST]) + more
            found.append((Feature(name, "correlated", "", inputs, 0, own[0].dataset), tuple(names)))
    return found


def _nearness(rows: Explained, features: list[Feature]) -> np.ndarray:
    """Return the largest |ρ| between the inputs of each pair of features, 1 on the diagonal."""
    inputs, of = rows.examples.inputs, rows.of(features[0])
    if of is not None:
        inputs = inputs.part_of(of)
    numbers = [number for f in features for number in list(f.inputs)[: len(f.inputs) - f.marks]]
    owners = np.repeat(np.arange(len(features)), [len(f.inputs) - f.marks for f in features])
    ranks = rankdata(inputs.values_of(numbers), axis=0)
    ranks = ranks - ranks.mean(0)
    norms = np.linalg.norm(ranks, axis=0)
    ranks = np.divide(ranks, norms, where=norms > 0, out=np.zeros_like(ranks))
    correlation = np.abs(ranks.T @ ranks).clip(max=1)
    starts = np.searchsorted(owners, np.arange(len(features)))
    near = np.maximum.reduceat(np.maximum.reduceat(correlation, starts, axis=0), starts, axis=1)
    np.fill_diagonal(near, 1)
    return np.asarray(near)
