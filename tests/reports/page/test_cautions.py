"""What readers are warned of: each on numbers that give reason to it, and none on those that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mtl_cli.data.look import FeatureLook, Look
from mtl_cli.data.suspects import Finding
from mtl_cli.reports.figures.base import Course
from mtl_cli.reports.page.cautions import cautions, shares_of_loss
from mtl_cli.reports.page.known import Known
from mtl_cli.reports.page.parts import Caution

HISTORY = {"epoch": [1.0, 2.0], "loss_a": [1.0, 0.5], "loss_b": [1.0, 0.6], "val_score": [0.2, 0.4]}
WEIGHTS = {"epoch": [1.0, 2.0], "step": [9.0, 18.0], "weight_a": [1.0, 1.0], "weight_b": [1.0, 1.0]}


def known(
    train: float = 0.6, test: float = 0.55, rows: int = 400, val: int = 300, more: dict[str, Any] | None = None,
    history: dict[str, list[float]] | None = None, weights: dict[str, list[float]] | None = None,
    look: Look | None = None, metrics: dict[str, Any] | None = None, status: str = "done", **record: Any,
) -> Known:  # fmt: skip
    """Return a run of two tasks with nothing to warn of, but for what is given; ``more`` is of task a."""

    def part(skill: float, labels: int, own: dict[str, Any] | None = None) -> dict[str, Any]:
        a = {"rows": labels, "skill": skill, **(own or {})}
        return {"rows": labels, "score": skill, "tasks": {"a": a, "b": {"rows": labels, "skill": 0.5}}}

    splits = {"train": part(train, 1000), "val": part(test, val), "test": part(test, rows, more)}
    course = Course(["a", "b"], {**HISTORY, **(history or {})}, {**WEIGHTS, **(weights or {})}, 2)
    found = {"score": 0.5, "splits": splits, **(metrics or {})}
    config = {"tasks": {"a": {"kind": "binary"}, "b": {"kind": "binary"}}, "trainer": {"epochs": 9}}
    return Known(Path("run"), {"status": status, **record}, found, config, course, None, None, look)


def titles(found: Known) -> list[str]:
    return [one.title for one in cautions(found)]


def only(found: Known) -> Caution:
    (one,) = cautions(found)
    return one


def with_finding(kind: str) -> Look:
    finding = Finding(kind, ["x"], "'x' alone determines a", "dataset.features.exclude=[x]")
    return Look({}, 0, {}, "features", (1,), FeatureLook({}, 0, 1, {}, [finding]))


def test_a_good_run_has_none() -> None:
    assert cautions(known()) == []


@pytest.mark.parametrize(
    ("found", "title", "number", "remedy"),
    [
        (known(train=0.95), "Over-fitting", "a: skill 0.95 on rows trained on, 0.55 on others", "dropout"),
        (known(train=0.02, test=0.01), "Tasks that are hardly better than a constant", "skill 0.010 on 400", "explain"),
        (known(train=0.02, test=0.01, more={"baselines": {"ridge": {"skill": 0.4}}}), "Ignored", "ridge has 0.40", "w"),
        (known(train=0.02, test=0.01, more={"single": {"skill": 0.3}}), "Ignored", "network has 0.30", "T.weight"),
        (known(history={"loss_a": [30.0, 20.0]}), "A dominated loss", "a was 97% of", "tasks.a.weight"),
        (known(weights={"weight_b": [30.0, 30.0]}), "A dominated loss", "b was 97% of", "balancer=uw"),
        (known(history={"loss_a": [1.0, float("nan")]}), "The training diverged", "in 1 of 2 epochs", "optimizer.lr"),
        (known(history={"loss_a": [1.0, 3.0]}), "The training diverged", "1 in the first epoch, 3 in", "clip_norm"),
        (known(look=with_finding("leak")), "A leak", "'x' alone determines a", "exclude=[x]"),
        (known(train=0.9999, test=0.9995), "Too good to be true", "a: skill 0.9995", "label"),
        (known(val=34), "Few validation rows", "a: 34 labels", "trainer.folds=5"),
        (known(rows=12), "Few test rows", "a: 12", "split.test"),
        (known(more={"not_finite": 3}), "Rows without a prediction", "3 rows of a", "range"),
        (known(more={"classes": {"x": {"rows": 9, "recall": 1.0}}}), "Classes with few rows", "a 'x' 9", "rows"),
        (known(more={"classes": {"x": {"rows": 90, "recall": 0.2}}}), "Classes of which", "recall 0.200", "class"),
        (known(history={"epoch": [1.0, 9.0], "val_score": [0.1] * 8 + [0.4]}), "The course", "last, 9", "epochs=45"),
        (known(status="failed", error="loss is inf", seconds=3.0), "The run failed", "loss is inf", "train again"),
        (known(status="running"), "The run has not ended", "2 epochs had ended", "mtl train resume=run"),
    ],
)  # fmt: skip
def test_each_says_what_it_rests_on_and_what_to_do(found: Known, title: str, number: str, remedy: str) -> None:
    one = only(found)
    assert one.title.startswith(title)
    assert number in one.seen
    assert remedy in one.remedy


def test_other_models_that_are_better() -> None:
    apart = {"difference": 0.2, "low": 0.1, "high": 0.3}
    better = {"metric": "accuracy", "differences": {"ridge": apart}, "best": "ridge", "better": True}
    one = only(known(metrics={"baselines": {"names": ["ridge"], "rows": "test", "tasks": {"a": better}}}))
    assert (one.title, one.seen) == (
        "A simpler model is better",
        "a: ridge by 0.2 accuracy; the 95 % interval leaves out 0.",
    )
    hurts = {"metric": "accuracy", "difference": -0.2, "verdict": "hurts"}
    assert titles(known(metrics={"single": {"tasks": {"a": hurts}}})) == ["Sharing hurts"]


def test_repeats_and_parts_that_are_not_there() -> None:
    splits = known().metrics["splits"]
    unseen = {**splits["test"], "rows": 300, "score": 0.3}
    one = only(known(metrics={"splits": {**splits, "test_unseen": unseen}}))
    assert one.seen == "100 of 400 do. Mean skill on all of them 0.550, on the other 300 0.300."
    for left_out, title in (("val", "No validation rows"), ("test", "No test rows")):
        rest = {name: own for name, own in splits.items() if name != left_out}
        assert titles(known(metrics={"splits": rest})) == [title]


def test_a_run_that_was_cut_off_says_how_to_go_on() -> None:
    base = known(status="interrupted")
    one = only(Known(base.path, base.record, {}, base.config, base.course))
    assert (one.title, one.remedy) == ("The run was interrupted", "mtl train resume=run goes on with it")
    assert one.seen == "2 epochs had ended; nothing was measured."


def test_a_task_that_takes_all_weight() -> None:
    taken = {"weight_a": [1.0, 1.0], "weight_b": [1e-5, 1e-5]}
    assert titles(known(weights=taken)) == ["A dominated loss", "One task took nearly all the weight"]


def test_shares_are_of_the_weighted_loss_in_the_median_over_epochs() -> None:
    history = {"epoch": [1.0, 2.0, 3.0], "loss_a": [1.0, 3.0, 9.0], "loss_b": [1.0, 1.0, float("nan")]}
    weights = {"epoch": [1.0, 2.0, 2.0, 3.0], "weight_a": [1.0, 5.0, 1.0, 1.0], "weight_b": [1.0, 1.0, 1.0, 1.0]}
    assert shares_of_loss(["a", "b"], history, weights) == {"a": 0.75, "b": 0.375}
    assert shares_of_loss(["a", "b"], history, {}) == {"a": 0.75, "b": 0.375}, "no step was logged: equal weights"
