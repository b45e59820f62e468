"""How long a training may take and how patient it is: in steps, with a floor in epochs, where the config says ``auto``.

An epoch of a small table is a step or two, one of a large table hundreds. What a network learns goes by its steps, so
they are the measure; the floor sees that large tables are gone over often enough.
"""

from __future__ import annotations

import math
from dataclasses import replace

from mtl_cli.config.schema import Trainer

FLOOR = 200
"""Epochs that are allowed at least."""
PATIENCE = 30
"""Epochs that a better one is waited for at least."""
PATIENT_STEPS = 600
"""Steps likewise."""
SMOOTH = 0.3
"""Of the patience, the epochs that the scores of a fold are averaged over."""
SO_FAR = {"features": 0.6, "sequence": 0.6}
"""Of the epochs so far, the share that scores are averaged over at most, by what the network reads. A mean of many
lags behind by as many, and where the best epoch comes early, as on noisy labels, finds one that has learnt the noise.
Five members on variants of a protein, whose effects add up, have an R² of 0.73 with it, and had 0.69 without it
(tests/bench/proteins.py --members, split 0).
Texts have no such bound: their tasks of words go on learning long after those of whole texts, and gain by the delay."""


def settled(trainer: Trainer, steps: int, held_out: bool) -> Trainer:
    """Return the same keys with numbers in place of ``auto``.

    Parameters
    ----------
    trainer : Trainer
    steps : int
        Of the optimizer, in an epoch.
    held_out : bool
        Whether the rows to choose by are a fold, which are few: then scores are smoothed, and later epochs are chosen.
        Each member then fits its rows more closely than is best for it alone; their mean is the better for it.
    """
    epochs = max(FLOOR, math.ceil(trainer.steps / steps)) if trainer.epochs == "auto" else trainer.epochs
    stopping = trainer.early_stopping
    if stopping is not None:
        longer = max(PATIENCE, math.ceil(PATIENT_STEPS / steps))
        patience = longer if stopping.patience == "auto" else stopping.patience
        smooth = stopping.smooth
        if smooth == "auto":
            smooth = max(1, round(SMOOTH * patience)) if held_out else 1
        stopping = replace(stopping, patience=patience, smooth=1 if smooth == "none" else smooth)
    return replace(trainer, epochs=epochs, early_stopping=stopping)
