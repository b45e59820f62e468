"""The steps behind a trained model's outputs, fitted to labelled rows that it was not trained on.

Outputs are calibrated first, then thresholds and intervals are found for what that gives.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self

from mtl_cli.tasks.conformal import Conformal
from mtl_cli.tasks.recalibration import Recalibration, restored
from mtl_cli.tasks.survival import Steps


@dataclass(frozen=True)
class PostHoc:
    """What a task's outputs go through before they are written and measured.

    Parameters
    ----------
    recalibration : Recalibration, optional
    thresholds : list of float, optional
        The probability from which on each label is predicted; a half if None.
    conformal : Conformal, optional
        What makes an interval or a set of a prediction.
    hazard : Steps, optional
        The cumulative hazard of a row of relative hazard 1, by which Cox's model has curves.
    """

    recalibration: Recalibration | None = None
    thresholds: list[float] | None = None
    conformal: Conformal | None = None
    hazard: Steps | None = None

    def state(self) -> dict[str, Any]:
        """Return what ``restore`` takes: plain numbers and strings; nothing of steps that there are not."""
        return {
            **({} if self.recalibration is None else {"recalibration": self.recalibration.state()}),
            **({} if self.thresholds is None else {"thresholds": self.thresholds}),
            **({} if self.conformal is None else {"conformal": asdict(self.conformal)}),
            **({} if self.hazard is None else {"hazard": asdict(self.hazard)}),
        }

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Self:
        """Rebuild the steps from their ``state``."""
        recalibration, conformal, hazard = (state.get(key) for key in ("recalibration", "conformal", "hazard"))
        return cls(
            None if recalibration is None else restored(recalibration),
            state.get("thresholds"),
            None if conformal is None else Conformal(**conformal),
            None if hazard is None else Steps(**hazard),
        )
