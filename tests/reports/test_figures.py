"""What is drawn in each figure: its values, how many axes there are, and whether texts lie on one another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mtl_cli.data.base import Part
from mtl_cli.data.inputs import DenseRows
from mtl_cli.reports.figures.base import Answers, Course
from mtl_cli.reports.figures.calibration import Calibration
from mtl_cli.reports.figures.cells import MOST
from mtl_cli.reports.figures.confusion import Confusion
from mtl_cli.reports.figures.label_confusion import LabelConfusion
from mtl_cli.reports.figures.layout import MOST_PANELS, PALETTE, Axes, distinct, settings
from mtl_cli.reports.figures.losses import Losses, shown_of
from mtl_cli.reports.figures.penalty import Penalty
from mtl_cli.reports.figures.scatter import JITTER, Scatter
from mtl_cli.reports.figures.weights import Weights
from mtl_cli.tasks.calibration import reliability
from mtl_cli.tasks.kinds.binary import Binary
from mtl_cli.tasks.kinds.multiclass import Multiclass
from mtl_cli.tasks.kinds.multilabel import Multilabel
from mtl_cli.tasks.kinds.regression import Regression
from mtl_cli.tasks.kinds.residue import Residue
from mtl_cli.tasks.task import TaskConfig

LONG = [f"a kind of thing with a long name, number {i:02d}, of many" for i in range(60)]


def render(draw: Callable[[Axes], None]) -> Any:
    """Return a matplotlib figure that is laid out."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(settings()):
        figure = Figure(figsize=(6, 4), dpi=200)
        FigureCanvasAgg(figure)
        draw(figure.add_axes((0.1, 0.1, 0.8, 0.8)))
        figure.canvas.draw()
    return figure


def answers(config: TaskConfig, labels: Sequence[Any], outputs: np.ndarray) -> Answers:
    """Return a model's ``outputs`` for a task that was fitted to the very rows."""
    table = pd.DataFrame({"y": labels})
    task = config.fit("y", table, np.arange(len(table)))
    rows = DenseRows(np.zeros((len(table), 1), "float32"))
    if outputs.ndim == 3:
        rows.lengths = np.array([len(text) for text in labels])
    own = pd.DataFrame({"y": task.labels(table)})
    part = Part(rows, {"y": task.encode(own["y"])}, table["y"], own, np.zeros(len(table), bool))
    return Answers(task, part, outputs.astype("float32"))


def overlapping(texts: Sequence[Any]) -> list[tuple[str, str]]:
    """Return the pairs of texts of which one lies on the other."""
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text() and text.get_visible()]
    return [(one, other) for (one, a), (other, b) in combinations(boxes, 2) if a.overlaps(b)]


def _inside(axes: Axes, label: Any) -> bool:
    """Whether a tick's label is drawn."""
    low, high = axes.get_ylim()
    return bool(low <= label.get_position()[1] <= high)


def texts_of(axes: Axes) -> list[Any]:
    return [
        *axes.get_xticklabels(),
        *axes.get_yticklabels(),
        *axes.texts,
        axes.title,
        axes.xaxis.label,
        axes.yaxis.label,
    ]


def course(tasks: int, epochs: int = 5, members: Sequence[int] = (), changing: bool = True) -> Course:
    """A course, or that of members of so many epochs each."""
    names = [f"task {i}" if i % 2 else LONG[i % 60] for i in range(tasks)]
    names = [f"{name} {i}" for i, name in enumerate(names)]

    def one(epochs: int, shift: float) -> Course:
        at = [float(epoch) for epoch in range(1, epochs + 1)]
        history = {"epoch": at, "val_score": at}
        for i, name in enumerate(names):
            history |= {
                f"loss_{name}": [shift + i + 1 / e for e in at],
                f"val_loss_{name}": [shift + i + 2 / e for e in at],
            }
        weights = {"step": at} | {
            f"weight_{name}": [1 + shift + changing * i / e for e in at] for i, name in enumerate(names)
        }
        return Course(names, history, weights, epochs - 1)

    every = tuple(one(n, number / 10) for number, n in enumerate(members))
    whole = one(min(members, default=epochs), 0)
    return Course(names, whole.history, whole.weights, whole.best, every)


def test_dots_are_the_rows_and_whole_numbers_are_spread() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(3, 9, 200)
    shown = answers(Regression(), labels, random.normal(size=(200, 1)))
    axes = render(lambda axes: Scatter().draw(axes, shown)).axes[0]
    x, y = np.asarray(axes.collections[0].get_offsets()).T
    assert y == pytest.approx(shown.predicted)
    assert 0 < np.abs(x - labels).max() <= JITTER and len(np.unique(x)) == 200
    assert "moved sideways" in axes.get_xlabel()
    measured = shown.task.metrics(shown.outputs, shown.values)
    assert axes.texts[0].get_text() == f"R² {measured['r2']:.3f}\nRMSE {measured['rmse']:.4g}\nn 200"
    assert axes.get_xlim() == axes.get_ylim()


def test_measurements_are_not_spread_and_many_rows_are_sampled() -> None:
    random = np.random.default_rng(0)
    labels = random.normal(size=21_000)
    shown = answers(Regression(), labels, random.normal(size=(21_000, 1)))
    axes = render(lambda axes: Scatter().draw(axes, shown)).axes[0]
    x = np.asarray(axes.collections[0].get_offsets())[:, 0]
    assert len(x) == 20_000 and np.isin(x, labels).all()
    assert "(20,000 drawn)" in axes.get_title() and "n 21,000" in axes.texts[0].get_text()


@pytest.mark.parametrize(("low", "scale"), [(2000.0, "log"), (0.0, "symlog")])
def test_a_logarithmic_task_has_logarithmic_axes_with_plain_numbers(low: float, scale: str) -> None:
    random = np.random.default_rng(0)
    labels = low + np.exp(random.normal(6, 2, 100))
    labels[0] = low
    shown = answers(Regression(transform="log1p"), labels, random.normal(size=(100, 1)))
    axes = render(lambda axes: Scatter().draw(axes, shown)).axes[0]
    assert axes.get_xscale() == axes.get_yscale() == scale
    ticks = [text.get_text() for text in axes.get_xticklabels() if text.get_text()]
    assert ticks and not any("$" in text or "^" in text for text in ticks)
    assert not overlapping(axes.get_xticklabels())


def test_calibration_shows_each_bin_with_its_interval_and_count() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(300, 1))
    labels = np.where(random.random(300) < 1 / (1 + np.exp(-logits[:, 0])), "yes", "no")
    shown = answers(Binary(positive="yes"), labels, logits)
    figure = render(lambda axes: Calibration().draw(axes, shown))
    above, below = figure.axes
    mean, frequency, count = reliability(*shown.confidence)
    line = above.containers[0]
    assert np.array(line.lines[0].get_xydata()) == pytest.approx(np.stack([mean, frequency], 1))
    ends = np.array([segment[:, 1] for segment in line.lines[2][0].get_segments()])
    assert (
        (ends[:, 0] <= frequency).all() and (ends[:, 1] >= frequency).all() and (ends[:, 1] - ends[:, 0] > 0.02).all()
    )
    bars = [int(bar.get_height()) for bar in below.patches]
    assert [n for n in bars if n] == count.tolist()
    assert above.get_ylabel() == "observed frequency" and below.get_xlabel() == "predicted probability"
    assert "ECE" in above.texts[0].get_text() and "n 300" in above.texts[0].get_text()


def classes_of(names: Sequence[str], rows: int, seed: int = 0) -> Answers:
    """A multiclass task in which larger numbers of classes are rarer."""
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, len(names) + 1)
    labels = np.concatenate([np.arange(len(names)), random.choice(len(names), rows, p=share / share.sum())])
    return answers(Multiclass(), np.array(names)[labels], random.normal(size=(len(labels), len(names))))


def test_a_confusion_matrix_has_counts_and_percentages_in_the_order_of_the_classes() -> None:
    shown = classes_of(["grade 2", "grade 10", "grade 1"], 300)
    axes = render(lambda axes: Confusion().draw(axes, shown)).axes[0]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert names == ["grade 1", "grade 2", "grade 10"]
    expected = pd.crosstab(pd.Series(shown.labels), pd.Series(shown.predicted)).reindex(names)[names].to_numpy()
    drawn = [text.get_text() for text in axes.texts]
    assert drawn == [f"{n}\n{n / row.sum():.0%}" for row in expected for n in row]
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        f"{name}  {row.sum()}" for name, row in zip(names, expected, strict=True)
    ]
    assert Confusion().table(shown) == []


def test_thirty_long_names_are_readable() -> None:
    shown = classes_of([f"${name}" if i % 3 else name for i, name in enumerate(LONG[:30])], 2000)
    axes = render(lambda axes: Confusion().draw(axes, shown)).axes[0]
    texts = texts_of(axes)
    assert len({text.get_text() for text in axes.get_xticklabels()}) == 30
    assert overlapping(texts) == []
    assert all(text.get_fontsize() >= 5.5 for text in texts)


def test_more_classes_are_cut_at_the_largest_with_a_file_of_all() -> None:
    shown = classes_of(LONG, 4000)
    axes = render(lambda axes: Confusion().draw(axes, shown)).axes[0]
    names = [text.get_text() for text in axes.get_xticklabels()]
    assert len(names) == MOST and names[-1] == "(31 others)"
    assert sum(int(text.get_text()) for text in axes.texts) == len(shown.labels)
    table = pd.DataFrame(Confusion().table(shown))
    assert table["count"].sum() == len(shown.labels) and set(table["true"]) == set(LONG)
    assert table.groupby("true")["percent"].sum().to_numpy() == pytest.approx(100, abs=0.5)


def test_residues_are_counted_one_by_one() -> None:
    labels = ["HHE-C", "EEC"]
    outputs = np.zeros((2, 5, 3))
    for row, text in enumerate(["HEECC", "EEH"]):  # classes are C, E, H
        outputs[row, np.arange(len(text)), ["CEH".index(c) for c in text]] = 1
    outputs[1, 3:] = np.nan
    axes = render(lambda axes: Confusion().draw(axes, answers(Residue(), labels, outputs))).axes[0]
    cells = {text.get_position()[::-1]: text.get_text().split("\n")[0] for text in axes.texts}
    assert cells == {(0, 0): "1", (0, 2): "1", (1, 1): "3", (2, 1): "1", (2, 2): "1"}
    assert "residues of test rows" in axes.get_title()


def test_each_label_of_a_multilabel_task_has_its_four_counts() -> None:
    from sklearn.metrics import multilabel_confusion_matrix

    random = np.random.default_rng(0)
    truth = random.random((200, 3)) < [0.2, 0.5, 0.7]
    labels = ["|".join(name for name, t in zip("abc", row, strict=True) if t) or "none" for row in truth]
    logits = random.normal(size=(200, 3))
    shown = answers(Multilabel(), labels, logits)
    axes = render(lambda axes: LabelConfusion().draw(axes, shown)).axes[0]
    drawn = np.array([int(text.get_text().split(" ")[0]) for text in axes.texts]).reshape(3, 4)
    (tn, fp), (fn, tp) = multilabel_confusion_matrix(truth, logits >= 0).transpose(1, 2, 0)
    assert (drawn == np.stack([tp, fn, fp, tn], 1)).all()
    assert overlapping(texts_of(axes)) == [] and LabelConfusion().table(shown) == []


@pytest.mark.parametrize("tasks", [1, 12, 40])
def test_losses_have_a_panel_per_task(tasks: int) -> None:
    drawn = course(tasks)
    figure = render(lambda axes: Losses().draw(axes, drawn))
    assert len(figure.axes) == tasks
    titles = [axes.title for axes in figure.axes]
    assert len({title.get_text() for title in titles}) == len(titles)
    assert overlapping([*titles, *figure.texts, *figure.legends[0].get_texts()]) == []
    every = [text for axes in figure.axes for text in axes.get_yticklabels() if _inside(axes, text)]
    assert overlapping([*titles, *every]) == []
    name = drawn.tasks[-1]
    training, validation, kept = figure.axes[-1].lines
    assert list(training.get_ydata()) == drawn.history[f"loss_{name}"]
    assert list(validation.get_ydata()) == drawn.history[f"val_loss_{name}"]
    assert kept.get_xdata() == [4, 4]


def test_losses_say_that_validation_is_with_linear_models_and_training_is_not() -> None:
    for linear in (False, True):
        drawn = course(MOST_PANELS + 6)
        if linear:
            drawn.history["linear_" + drawn.tasks[1]] = [0.5] * 5  # type: ignore[index]
        figure = render(lambda axes: Losses().draw(axes, drawn))  # noqa: B023
        texts = [*(axes.title for axes in figure.axes), *figure.texts, *figure.legends[0].get_texts()]
        (title,) = (text for text in texts if text.get_text().startswith("Loss per task"))
        assert title.get_text().endswith("; in validation, with linear models") == linear
        assert overlapping(texts) == [] and title.get_window_extent().x1 <= figure.bbox.x1


def test_of_very_many_tasks_those_of_the_largest_loss_are_shown() -> None:
    drawn = course(MOST_PANELS + 6)
    assert shown_of(drawn) == drawn.tasks[6:]


def test_members_are_faint_lines_and_their_mean_ends_with_the_first_of_them() -> None:
    drawn = course(2, members=(6, 3, 4))
    lines = render(lambda axes: Losses().draw(axes, drawn)).axes[0].lines
    bold = [line for line in lines if line.get_alpha() is None and line.get_linestyle() in ("-", "--")]
    faint = [line for line in lines if line.get_alpha()]
    assert [len(line.get_xdata()) for line in bold] == [3, 3]
    assert sorted(len(line.get_xdata()) for line in faint) == [3, 3, 4, 4, 6, 6]
    assert sorted(line.get_xdata()[0] for line in lines if line.get_linestyle() == ":") == [2, 3, 5]
    weights = render(lambda axes: Weights().draw(axes, drawn)).axes[0].lines
    assert [len(line.get_xdata()) for line in weights] == [6, 3, 4, 3] * 2


@pytest.mark.parametrize(("tasks", "axes"), [(2, 1), (7, 1), (12, 12), (MOST_PANELS + 6, MOST_PANELS)])
def test_weights_of_many_tasks_have_a_panel_each_with_one_scale(tasks: int, axes: int) -> None:
    figure = render(lambda axes: Weights().draw(axes, course(tasks)))
    assert len(figure.axes) == axes
    assert len({one.get_ylim() for one in figure.axes}) == 1
    assert overlapping([one.title for one in figure.axes]) == []


def test_weights_that_never_change_are_not_drawn() -> None:
    assert not Weights().suits(course(3, changing=False))
    assert not Weights().suits(course(3, members=(4, 5), changing=False))
    assert not Weights().suits(Course(["a"], {}, {}, 0))
    assert Weights().suits(course(3)) and Weights().suits(course(3, members=(4, 5)))


def test_penalties_are_named_as_they_are() -> None:
    history = {"epoch": [1.0, 2.0], "penalty__x": [1.0, 2.0], "penalty_$y$": [3.0, 1.0]}
    axes = render(lambda axes: Penalty().draw(axes, Course([], history, {}, 1))).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["_x", "$y$"]


def test_names_that_are_cut_stay_different() -> None:
    assert distinct(["a", "bb"], 5) == ["a", "bb"]
    for names in (LONG, [f"{i} {'x' * 50}" for i in range(40)], [f"{'x' * 50} {i}" for i in range(40)]):
        cut = distinct(names, 24)
        assert len(set(cut)) == len(names) and all(len(name) <= 24 for name in cut)


VISIONS = {
    "all cones": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "no long-wave cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no medium-wave cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}
"""What colours look like, in linear RGB (Machado, Oliveira & Fernandes 2009, doi 10.1109/TVCG.2009.113)."""


@pytest.mark.parametrize("vision", VISIONS)
def test_colours_can_be_told_apart(vision: str) -> None:
    """By CIE 1976 ΔE, of which a difference of 2.3 is just noticeable; the lines that mean something by far more."""
    found = [_lab(color, np.array(VISIONS[vision])) for color in PALETTE]
    apart = {(i, j): float(np.linalg.norm(found[i] - found[j])) for i, j in combinations(range(len(found)), 2)}
    assert min(apart.values()) > 10
    assert apart[0, 1] > 60, "training and validation"


def _lab(color: str, seen: np.ndarray) -> np.ndarray:
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    f = np.cbrt(to_xyz @ (seen @ linear).clip(0, 1) / [0.9505, 1, 1.089])
    return np.array(
        [116 * f[1] - 16, *(scale * (a - b) for scale, (a, b) in zip((500, 200), pairwise(f), strict=True))]
    )
