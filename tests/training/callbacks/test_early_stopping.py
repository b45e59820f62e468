"""Early stopping: which epoch is kept."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mtl_cli.balancing.methods.uniform import Uniform
from mtl_cli.balancing.step import TrainingStep
from mtl_cli.config import schema
from mtl_cli.data.batches import Batches
from mtl_cli.training.callbacks.base import Callback, TrainerState
from mtl_cli.training.callbacks.early_stopping import EarlyStopping
from mtl_cli.training.trainer import Trainer
from tests.models.small import CPU, part_of, train
from tests.training.callbacks.test_callbacks import problem


class Scores(Callback):
    """Gives each epoch a score from a list, and keeps the weights that it was given for."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = scores
        self.weights: list[dict[str, torch.Tensor]] = []

    def measure(self, trainer: TrainerState) -> dict[str, float]:
        self.weights.append({name: tensor.clone() for name, tensor in trainer.model.state_dict().items()})
        return {"val_score": self.scores[trainer.epoch - 1]}


def run(
    scores: list[float], after: int = 0, smooth: int = 1, so_far: float = 0.3, **keys: Any
) -> tuple[Trainer, Scores]:
    network = train(*problem(), epochs=1).network
    part, tasks = part_of(*problem())
    step = TrainingStep(network, tasks, Uniform(), CPU)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    scored = Scores(scores)
    stopping = EarlyStopping(schema.EarlyStopping(smooth=smooth, **keys), after, so_far)
    trainer = Trainer(step, optimizer, schema.Trainer(epochs=len(scores)), [scored, stopping])
    trainer.fit(Batches(part, CPU))
    return trainer, scored


@pytest.mark.parametrize(
    ("scores", "kept", "trained"),
    [
        ([0.1, 0.5, 0.5, 0.2], 2, 4),  # a tie keeps the earlier epoch
        ([0.5, 0.5, 0.5, 0.5, 0.5], 1, 4),  # and is no rise that would prolong the training
        ([0.1, 0.3, 0.2, 0.25, 0.4, 0.1], 5, 6),
        ([0.3, 0.2, 0.2, 0.2, 0.9], 1, 4),
    ],
)
def test_the_first_epoch_of_the_best_score_is_kept(scores: list[float], kept: int, trained: int) -> None:
    trainer, scored = run(scores, patience=3)
    assert (trainer.best.epoch, trainer.best.score, trainer.epoch) == (kept, scores[kept - 1], trained)
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, scored.weights[kept - 1][name])


def test_a_rise_must_be_large_enough() -> None:
    assert run([0.1, 0.15, 0.19, 0.21, 0.2], min_delta=0.1, patience=30)[0].best.epoch == 4


def test_patience_begins_when_the_trunk_is_trained() -> None:
    assert run([0.5, *[0.1] * 9], patience=2)[0].epoch == 3
    assert run([0.5, *[0.1] * 9], patience=2, after=4)[0].epoch == 6


def test_scores_that_are_unknown_keep_the_last_epoch() -> None:
    trainer, _ = run([float("nan")] * 4, patience=9)
    assert trainer.best.epoch == 4


def test_smoothed_scores_choose_by_their_mean_and_lag_by_a_part_of_the_epochs_so_far() -> None:
    """A lucky epoch is not chosen; where the best comes early, one soon behind it is, though `smooth` is far larger."""
    rising = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.62, 0.9, 0.64, 0.66, 0.68, 0.7, 0.72, 0.74, 0.76, 0.78, 0.8]
    assert run(rising, patience=30)[0].best.epoch == 8
    assert run(rising, patience=30, smooth=5)[0].best.epoch == len(rising)
    early = [*[0.05 * epoch for epoch in range(1, 11)], *[0.5 - 0.005 * epoch for epoch in range(1, 60)]]
    assert run(early, patience=80)[0].best.epoch == 10
    assert 11 <= run(early, patience=80, smooth=40)[0].best.epoch <= 16
    assert run(early, patience=80, smooth=40, so_far=1e9)[0].best.epoch == 53, "a plain mean of 40 epochs"


def test_the_mean_is_exponential_over_so_many_epochs() -> None:
    scores = [float(value) for value in torch.randn(60, generator=torch.Generator().manual_seed(0))]
    mean, means = scores[0], [scores[0]]
    for number, score in enumerate(scores[1:], start=2):
        over = min(10.0, max(1.0, 0.3 * number))
        mean += (score - mean) / over
        means.append(mean)
    trainer, _ = run(scores, patience=60, smooth=10)
    assert trainer.best.epoch == 1 + means.index(max(means))
    assert trainer.best.score == scores[trainer.best.epoch - 1]
