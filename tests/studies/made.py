"""Folders as runs leave them, made without training: as much of them as comparing reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def make_run(
    path: Path, *, tasks: dict[str, dict[str, float]], score: float | None = None, seed: int = 0,
    balancer: str = "uniform", sharing: str = "hard", split: str = "0,train\n1,test\n",
    members: list[float] | None = None, status: str = "done", seconds: float = 2.0, **config: Any,
) -> Path:  # fmt: skip
    """Write a run whose tasks have these metrics on the test rows, the first of each the primary one."""
    path.mkdir(parents=True)
    settings = {
        "dataset": {"kind": "csv", "split": {"seed": 42}},
        "model": {"sharing": {"kind": sharing}},
        "balancer": {"name": balancer, **({"alpha": 1.5} if balancer == "gradnorm" else {})},
        "seed": seed,
        **config,
    }
    (path / "config.yaml").write_text("# a run\n" + json.dumps(settings))  # JSON is YAML
    (path / "run.json").write_text(json.dumps({"status": status, "seconds": seconds}))
    (path / "splits.csv").write_text("row,split\n" + split)
    metrics: dict[str, Any] = {
        "score": score,
        "primary": {name: next(iter(own)) for name, own in tasks.items()},
        "splits": {
            "test": {"rows": 9, "score": 0.5, "tasks": {n: {"rows": 9, "constant": {}, **m} for n, m in tasks.items()}}
        },
    }
    if members is not None:
        metrics["members"] = [
            {"seed": seed, "repeat": 1, "fold": fold, "epoch": 3, "steps": 9, "score": own}
            for fold, own in enumerate(members, 1)
        ]
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path


def make_groups(folder: Path, scores: dict[str, list[float]], **config: Any) -> list[str]:
    """Write a run for each balancer and seed with this score, whose errors fall and accuracies rise with it."""
    return [
        str(
            make_run(
                folder / f"{balancer}_{seed}", score=score, seed=seed, balancer=balancer,
                tasks={"price": {"rmse": 2 - score}, "sold": {"accuracy": score + 0.1, "roc_auc": score}}, **config,
            )
        )
        for balancer, own in scores.items()
        for seed, score in enumerate(own)
    ]  # fmt: skip
