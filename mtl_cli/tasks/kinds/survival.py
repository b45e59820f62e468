"""Time to event: when something happens, where some rows were only watched until an earlier time (censored)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from mtl_cli.config.convert import PositiveFloat, PositiveInt
from mtl_cli.config.errors import Problem, UserError
from mtl_cli.config.registry import component
from mtl_cli.runs.strangers import made_of
from mtl_cli.tasks import survival
from mtl_cli.tasks.answer_columns import PREDICTION, RISK, SPREAD, SURVIVAL, AnswerColumn
from mtl_cli.tasks.labels import first, label_column, numbers, refuse_values, text_of, typed_classes
from mtl_cli.tasks.post_hoc import PostHoc
from mtl_cli.tasks.precision import wide
from mtl_cli.tasks.survival import EVENT, THERE, TIME, Steps
from mtl_cli.tasks.task import LabelUse, Target, Task, TaskConfig, device_tensor

if TYPE_CHECKING:
    import pandas as pd
    import torch

EVENTS_EACH = 5
"""Events that an interval has at least, as far as equal times allow."""
"""Training events that an interval has at least, as far as equal times allow."""
LARGEST_LOGIT = 8.0
GRID = 50
"""Times at which the Brier score is measured, from the first to the last tenth of the events' times."""


@component("task", "survival")
@dataclass(frozen=True, kw_only=True)
class Survival(TaskConfig):
    """A task whose label is a time, and whether the event came then; if not, the row was watched until then.

    Parameters
    ----------
    event : str
        The column that says whether the event came: 0/1, true/false, or as ``happened`` says. ``target`` is the time's.
    happened : list, optional
        What stands in that column where the event came; everything else says that it did not.
    loss : {"discrete", "cox"}
        A hazard for each of several intervals of time; or Cox's partial likelihood, of one relative hazard a row.
    intervals : int
        The most intervals, between quantiles of the events' times, each of five events or more.
    times : list of float, optional
        When the share left without the event is predicted; round times up to the last event by default.
    """

    event: str | None = None
    happened: list[str | int | float | bool] | None = None
    loss: Literal["discrete", "cox"] = "discrete"
    intervals: PositiveInt = 20
    times: list[PositiveFloat] | None = None

    post_hoc_keys: ClassVar[tuple[str, ...]] = ("loss",)

    @property
    def loss_name(self) -> str:
        return self.loss

    @property
    def post_hoc_asked(self) -> dict[str, Any]:
        """What is asked for, and for curves from Cox's relative hazards the baseline hazard: no row may be learned."""
        return super().post_hoc_asked | ({"loss": self.loss} if self.loss == "cox" else {})

    @property
    def named_labels(self) -> set[str]:
        return {text_of(value) for value in self.happened or []}

    def columns(self, name: str) -> list[str]:
        return [*super().columns(name), *([] if self.event is None else [self.event])]

    def label_uses(self, name: str) -> dict[str, LabelUse]:
        uses: dict[str, LabelUse] = {} if self.event is None else {self.event: "class"}
        return uses | {super().columns(name)[0]: "number"}

    def further_columns(self, name: str) -> list[str]:
        at = [SURVIVAL.named(name, text_of(time)) for time in self.times or []]
        return [*super().further_columns(name), RISK.named(name), *at]

    def check(self, name: str) -> Iterator[Problem]:
        where = f"tasks.{name}"
        if self.event is None:
            what = "needs the column that says whether the event came"
            yield Problem(f"{where}.event", what, f"{where}.event=COLUMN, of 0 and 1")
        elif self.event == super().columns(name)[0]:
            yield Problem(f"{where}.event", f"'{self.event}' is the column of the times", "name another column")
        if self.times is not None and list(self.times) != sorted(set(self.times)):
            yield Problem(f"{where}.times", "must rise from one to the next")

    def labels(self, name: str, table: pd.DataFrame) -> pd.Series:
        return self._unfitted(name).labels(table)

    def strata(self, name: str, table: pd.DataFrame) -> pd.Series:
        task = self._unfitted(name)
        return task.strata(task.labels(table))

    def _unfitted(self, name: str) -> SurvivalTask:
        happened = None if self.happened is None else [text_of(value) for value in self.happened]
        return SurvivalTask(name, self.columns(name), self.weight, self.auxiliary, self.loss, happened)

    def fit(self, name: str, table: pd.DataFrame, train: np.ndarray) -> SurvivalTask:
        """Fit to the rows ``train`` of ``table``.

        Raises
        ------
        UserError
            If a time is below 0 or missing where there is an event, or the training rows have no two events.
        """
        where = f"tasks.{name}"
        task = self._unfitted(name)
        labels = task.labels(table)
        target = task.encode(labels)
        rows = target.values[train][target.mask[train]].astype("float64")
        if not len(rows):
            raise UserError(where, "all labels of the training rows are missing")
        time, event = rows[:, TIME], rows[:, EVENT] > 0.5
        if len(np.unique(time[event])) < 2:
            count = int(event.sum())
            has = f"{count or 'no'} event{'s' if count != 1 else ''}"
            what = f"the training rows have {has}, and two at different times are needed"
            raise UserError(
                where, what, "happened=[…] names what stands for an event" if self.happened is None else None
            )
        task.unit, task.cuts = self._intervals(target)
        own = task.unit
        scaled = (time / own).astype("float32")
        rates = survival.discrete_rates(scaled, event, np.array(task.cuts, "float32"))
        with np.errstate(divide="ignore"):
            logits = np.log(rates) - np.log1p(-rates)
        task.offsets = logits.clip(-LARGEST_LOGIT, LARGEST_LOGIT).tolist() if self.loss == "discrete" else []
        task.times = list(self.times) if self.times is not None else round_times(task.cuts[-1] * own)
        low, high = np.quantile(time[event], [0.1, 0.9])
        task.grid = [float(low), float(high)]
        task.marginal, task.watched = (survival.kaplan_meier(time, event, which) for which in (False, True))
        return task

    def _intervals(self, target: Target) -> tuple[float, list[float]]:
        """Return the unit of time, and the ends of the intervals in it: of the whole table, as classes are.

        Folds then have the same ones. The last ends with the last event.
        """
        rows = target.values[target.mask].astype("float64")
        time, event = rows[:, TIME], rows[:, EVENT] > 0.5
        unit = float(np.median(time[time > 0]))
        quantiles = np.linspace(0, 1, max(2, min(self.intervals, int(event.sum()) // EVENTS_EACH)) + 1)[1:]
        cuts = np.unique((np.quantile(time[event], quantiles, method="inverted_cdf") / unit).astype("float32"))
        return unit, [float(cut) for cut in cuts if cut > 0]

    @staticmethod
    def restore(state: dict[str, Any]) -> SurvivalTask:
        """Rebuild the task from its saved ``state``."""
        return made_of(SurvivalTask, state)


@dataclass
class SurvivalTask(Task):
    """A survival task fitted to its training rows. See ``Task`` for the methods, and ``tasks/survival.py``.

    Targets are time, event and whether there is a label, (n, 3). Outputs are the logits of the intervals' hazards, or
    the logarithm of the relative hazard. In files a label is written as `12` or, if censored, `12+`.
    """

    loss_name: str
    happened: list[str] | None
    unit: float = 1.0
    """By which times are divided."""
    cuts: list[float] = field(default_factory=list)
    """The ends of the intervals, in units."""
    offsets: list[float] = field(default_factory=list)
    """Added to the logits, so that 0 says the best constants."""
    times: list[float] = field(default_factory=list)
    grid: list[float] = field(default_factory=lambda: [0.0, 1.0])
    marginal: Steps = field(default_factory=lambda: Steps([], [], 1.0))
    """The training rows' Kaplan–Meier curve."""
    watched: Steps = field(default_factory=lambda: Steps([], [], 1.0))
    """That of their being watched."""

    kind: ClassVar[str] = "survival"
    pictures: ClassVar[tuple[str, ...]] = ("survival",)
    explained_as: ClassVar[str | None] = "risk"
    primary: ClassVar[str] = "concordance"

    @property
    def couples(self) -> bool:
        return self.loss_name == "cox"

    @property
    def outputs(self) -> int:
        return 1 if self.couples else len(self.cuts)

    @property
    def baseline(self) -> np.ndarray:
        return np.zeros(self.outputs, dtype="float32")

    def labels(self, table: pd.DataFrame) -> pd.Series:
        """Return each row's time as a text, with a `+` if the event had not come by then."""
        import pandas as pd

        where = f"tasks.{self.name}"
        time = numbers(label_column(table, self.columns[0], self.name), where, "a time is a number")
        if len(self.columns) < 2:
            raise UserError(f"{where}.event", "needs the column that says whether the event came")
        event, known = self._events(label_column(table, self.columns[1], self.name))
        refuse_values((time < 0).to_numpy(), time, where, "is a time below 0", "times count from a start")
        without = (event & time.isna()).to_numpy()
        if without.any():
            _, row = first(time, without)
            raise UserError(where, f"row {row} has an event but no time in column '{self.columns[0]}'")
        texts = [
            f"{text_of(value)}{'' if happened else '+'}" if there else None
            for value, happened, there in zip(time, event, known & time.notna(), strict=True)
        ]
        return pd.Series(texts, index=table.index, dtype="object", name=self.name)

    def _events(self, column: pd.Series) -> tuple[pd.Series, pd.Series]:
        """Return whether the event came, and whether that is known."""
        values, known = typed_classes(column), column.notna()
        if self.happened is not None:
            return known & values.map(text_of, na_action="ignore").isin(self.happened), known
        wrong = (known & ~values.isin([0, 1])).to_numpy()
        what = "says neither that the event came nor that it did not: that is 1 or 0"
        refuse_values(
            wrong,
            values,
            f"tasks.{self.name}.event",
            what,
            f"tasks.{self.name}.happened=[…] says what stands for an event",
        )
        return known & (values == 1), known

    def strata(self, labels: pd.Series) -> pd.Series:
        """Return whether each row has the event."""
        return labels.map(lambda text: "censored" if text.endswith("+") else "event", na_action="ignore")

    def encode(self, labels: pd.Series) -> Target:
        mask = labels.notna().to_numpy(copy=True)
        values = np.zeros((len(labels), 3), dtype="float32")
        texts = labels[mask].tolist()
        values[mask, TIME] = np.array([float(text.rstrip("+")) for text in texts]) / self.unit
        values[mask, EVENT], values[mask, THERE] = [not text.endswith("+") for text in texts], 1.0
        return Target(values, mask)

    def loss(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """−log of the likelihood of each row's time and event; of Cox's, what each event adds, among these rows."""
        if self.couples:
            return survival.cox_loss(output[:, 0], target, None)[0]
        return survival.discrete_loss(self._logits(output), target, device_tensor(tuple(self.cuts), output.device))

    def batch_loss(
        self, output: torch.Tensor, target: torch.Tensor, counts: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if self.couples:
            return survival.cox_loss(output[:, 0], target, counts)
        return self.loss(output, target), counts

    def _logits(self, output: torch.Tensor) -> torch.Tensor:
        return output + device_tensor(tuple(self.offsets), output.device)

    def average(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the members' mean curve; of Cox's, their mean."""
        import torch

        if self.couples:
            return outputs.mean(1)
        curves = np.stack([self._at_cuts(own.numpy()) for own in outputs.unbind(1)]).mean(0)
        return torch.from_numpy(self._outputs(curves)).to(outputs.dtype)

    def in_own_units(self, output: np.ndarray, fitted: Task) -> np.ndarray:
        assert isinstance(fitted, SurvivalTask)
        if self.couples or (fitted.cuts, fitted.offsets, fitted.unit) == (self.cuts, self.offsets, self.unit):
            return output
        return self._outputs(fitted.curves(output, np.array(self.cuts) * self.unit))

    def _at_cuts(self, output: np.ndarray) -> np.ndarray:
        """Return the share left at the end of each interval, (n, intervals)."""
        logits = output.astype("float64") + np.array(self.offsets)
        return np.asarray(np.exp(-np.logaddexp(0, logits).cumsum(1)))

    def _outputs(self, curves: np.ndarray) -> np.ndarray:
        """Return the outputs that give these shares at the intervals' ends."""
        before = np.concatenate([np.ones((len(curves), 1)), curves[:, :-1]], 1)
        hazards = (1 - curves / np.maximum(before, 1e-300)).clip(1e-7, 1 - 1e-7)
        return np.asarray((np.log(hazards) - np.log1p(-hazards) - np.array(self.offsets)).astype("float32"))

    def curves(self, output: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the predicted share left without the event at some times, (n, times), float64.

        Within an interval the hazard is constant, and after the last one 0. Of Cox's it is exp(−H(t) e^η), with the
        baseline hazard H that was fitted behind the model.
        """
        if self.couples:
            assert self.post_hoc.hazard is not None
            return np.asarray(
                np.exp(-self.post_hoc.hazard(times) * np.exp(output[:, :1].astype("float64").clip(max=50)))
            )
        logs = np.concatenate([np.zeros((len(output), 1)), np.log(np.maximum(self._at_cuts(output), 1e-300))], 1)
        ends = np.concatenate([[0.0], np.array(self.cuts) * self.unit])
        at = np.clip(times, 0, ends[-1])
        right = np.searchsorted(ends, at).clip(1)
        share = (at - ends[right - 1]) / (ends[right] - ends[right - 1])
        return np.asarray(np.exp(logs[:, right - 1] * (1 - share) + logs[:, right] * share))

    def _mean_time(self, curves: np.ndarray) -> np.ndarray:
        """Return the mean time until the event, up to the last cut: the areas of curves at the cuts, by trapezoids."""
        ends = np.concatenate([[0.0], np.array(self.cuts) * self.unit])
        return np.asarray(np.trapezoid(np.concatenate([np.ones((len(curves), 1)), curves], 1), ends, axis=1))

    def answer_columns(self) -> list[AnswerColumn]:
        return super().answer_columns() + [
            RISK.column(self.name),
            *(SURVIVAL.column(self.name, text_of(time)) for time in [*self.times, *self._other_ends()]),
        ]

    def decode(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the mean time until the event, up to the last cut, and the share left at ``times``."""
        risk = {RISK.named(self.name): output[:, 0].astype("float64")} if self.couples else {}
        if self.couples and self.post_hoc.hazard is None:  # of rows that the baseline hazard was fitted to
            return risk
        curves, ends = self.curves(output, np.array(self.times)), np.array(self.cuts) * self.unit
        at = {SURVIVAL.named(self.name, text_of(time)): curves[:, i] for i, time in enumerate(self.times)}
        return {PREDICTION.named(self.name): self._mean_time(self.curves(output, ends)), **risk, **at}

    def spread(self, outputs: np.ndarray) -> dict[str, np.ndarray]:
        """Return the deviation of the members' mean time; where that is not known, of their η."""
        key = PREDICTION.named(self.name)
        decoded = [self.decode(output) for output in outputs]
        each = [found.get(key, output[:, 0]) for found, output in zip(decoded, outputs, strict=True)]
        return {SPREAD.named(self.name): np.std(each, axis=0, ddof=1)}

    def probabilities(self, output: np.ndarray) -> dict[str, np.ndarray]:
        """Return the curve at the end of every interval."""
        times = self._other_ends()
        curves = self.curves(output, np.array(times))
        return {SURVIVAL.named(self.name, text_of(time)): curves[:, i] for i, time in enumerate(times)}

    def _other_ends(self) -> list[float]:
        """Return the ends of the intervals that are not among ``times``, to six digits."""
        return [time for time in (float(f"{cut * self.unit:.6g}") for cut in self.cuts) if time not in self.times]

    def fit_post_hoc(self, output: np.ndarray, values: np.ndarray) -> PostHoc:
        """Fit the baseline hazard of Cox's relative hazards (Breslow), on rows that the model was not trained on."""
        if not self.couples:
            return PostHoc()
        time = values[:, TIME].astype("float64") * self.unit
        return PostHoc(hazard=survival.breslow(time, values[:, EVENT] > 0.5, output[:, 0]))

    def risk(self, output: torch.Tensor) -> torch.Tensor:
        """Return what orders rows, the sooner the larger: η, or minus the mean time."""
        import torch
        from torch.nn.functional import softplus

        kind = wide(output.device)
        if self.couples:
            return output[:, 0].to(kind)
        curve = torch.exp(-softplus(self._logits(output).to(kind)).cumsum(1))
        cuts = device_tensor(tuple(self.cuts), output.device).to(kind)
        widths = torch.cat([cuts[:1], cuts[1:] - cuts[:-1]])
        before = torch.cat([torch.ones_like(curve[:, :1]), curve[:, :-1]], 1)
        return -((before + curve) / 2 @ widths)

    def metrics(self, output: np.ndarray, values: np.ndarray) -> dict[str, float]:
        """Return Harrell's concordance, and the integrated Brier score of the curves where they are known."""
        import torch

        found = {"concordance": float(self.monitor(torch.from_numpy(output), torch.from_numpy(values)))}
        if not self.couples or self.post_hoc.hazard is not None:
            found["brier"] = self._brier(self.curves(output, self._grid()), values)
        return found

    def constant_metrics(self, values: np.ndarray) -> dict[str, float]:
        """Return the metrics of the training rows' Kaplan–Meier curve for every row."""
        grid = self._grid()
        curves = np.broadcast_to(self.marginal(grid), (len(values), len(grid)))
        return {"concordance": 0.5, "brier": self._brier(curves, values)}

    def _grid(self) -> np.ndarray:
        """Return the times at which the Brier score is measured."""
        return np.asarray(np.linspace(self.grid[0], self.grid[1], GRID))

    def _brier(self, curves: np.ndarray, values: np.ndarray) -> float:
        grid, time = self._grid(), values[:, TIME].astype("float64") * self.unit
        if grid[-1] <= grid[0]:
            return math.nan
        return survival.integrated(survival.brier(time, values[:, EVENT] > 0.5, curves, grid, self.watched), grid)

    def resampled(self, output: np.ndarray, values: np.ndarray, counts: np.ndarray) -> np.ndarray:
        import torch

        risk = self.risk(torch.from_numpy(output)).numpy()
        return survival.concordance_of_resamples(values[:, TIME], values[:, EVENT] > 0.5, risk, counts)

    def explained(self, output: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the relative hazard, or minus the mean time."""
        risk = self.risk(output).to(output.dtype)
        return risk if self.couples else risk * self.unit

    def monitor(self, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return survival.concordance(target[:, TIME], target[:, EVENT] > 0.5, self.risk(output))


def round_times(last: float, about: int = 5) -> list[float]:
    """Return some round times, evenly apart, up to ``last``."""
    step = last / about
    power = 10.0 ** math.floor(math.log10(step))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= step * 0.999)
    return [float(f"{step * i:.6g}") for i in range(1, int(last / step * 1.0001) + 1)]
