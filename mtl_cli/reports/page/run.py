"""The report of a run: what was learnt from what, how well, what to be warned of, how to use it and to repeat it."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from mtl_cli.config.yaml_text import to_yaml
from mtl_cli.reports.described import learnt
from mtl_cli.reports.first_look import described
from mtl_cli.reports.page.cautions import cautions
from mtl_cli.reports.page.known import Known, read_again, read_run
from mtl_cli.reports.page.measured import (
    by_class,
    by_fold,
    by_kind,
    half_of,
    metric_of,
    number,
    split_of,
    summary,
    with_half,
)
from mtl_cli.reports.page.parts import (
    Cautions,
    Cell,
    Code,
    Details,
    Drawn,
    Facts,
    Figures,
    Lines,
    Page,
    Part,
    Picture,
    Section,
    Table,
)
from mtl_cli.reports.page.svg import draw
from mtl_cli.reports.plots import answers_of, drawings_of, noting_failure
from mtl_cli.reports.study import duration
from mtl_cli.reports.verdicts import about_baselines, about_sharing
from mtl_cli.runs.directory import PLOTS

MOST = 200
"""Features that are listed."""
MOST_FIGURES = 24
"""Figures of tasks; the run's folder has all."""
TYPES = {".png": "image/png", ".svg": "image/svg+xml"}
PARTS = {"train": "to train", "val": "to validate", "test": "to test"}
CAPTIONS = {
    "losses": "Loss of each task over the epochs, on the rows trained on and on the validation rows",
    "weights": "Weight of each task's loss over the steps, as the balancer chose it",
    "penalty": "Penalties over the epochs",
}
"""Of figures of the training; one of a task says in its title what it shows."""
SHOWN = 6
"""Tasks of which the first section says how well they are learnt."""


def run_page(path: Path, name: str, notice: Callable[[str], None]) -> Page:
    """Return the report of a run.

    Parameters
    ----------
    path : Path
        Its folder.
    name : str
        What the user called it, for commands.
    notice : callable
        Takes a line that the user should see.

    Raises
    ------
    UserError
        If there is nothing to report.
    """
    known = read_again(read_run(path, name), notice)
    return Page(
        f"{_some(list(known.tasks)) or path.name}: a report",
        _subtitle(known, path),
        [
            Section("In short", [Lines(_in_short(known))]),
            Section("Warnings", [Cautions(cautions(known))]),
            Section("What was learnt from what", list(_learnt(known))),
            Section("How well it was learnt", list(_measured(known))),
            Section("The training", [*_training(known), *_course(known, notice)]),
            Section("Predictions", list(_predictions(known, name, notice))),
            Section("Use it", list(usage(name, known.example)) if known.description is not None else []),
            Section("Repeat it", list(_repeat(known, name))),
        ],
    )


def _subtitle(known: Known, path: Path) -> str:
    balancer = known.config.get("balancer", {}).get("name", "")
    seconds = known.record.get("seconds")
    took = f", {duration(seconds)} on {known.record.get('device')}" if seconds else ""
    return f"Run {path.absolute().name}, of {known.data} with balancer {balancer}: {known.status}. {known.began}{took}."


def _in_short(known: Known) -> list[str]:
    kinds = _some([f"{name} ({kind})" for name, kind in known.tasks.items()])
    tasks = "1 task" if len(known.tasks) == 1 else f"{len(known.tasks)} tasks"
    lines = [f"One model for {tasks}: {kinds}, trained on {known.data}."]
    if known.part is None:
        return [*lines, "It has no metrics: the warnings below say why."]
    report = known.metrics["splits"][split_of(known)]
    for name, own in list(report["tasks"].items())[:SHOWN]:
        if own.get("rows"):
            metric = metric_of(known, name)
            value, constant = with_half(own.get(metric), half_of(known, name)), number(own["constant"].get(metric, 0))
            rows = f"{own['rows']:,} {'validation' if known.part == 'val' else 'test'} rows"
            lines.append(f"{name}: {metric} {value.text} on {rows}, where the best constant has {constant.text}.")
    if known.metrics.get("score") is not None:
        lines.append(f"Score, the mean skill on the validation rows: {number(known.metrics['score']).text}.")
    return lines + [
        f"{line[:1].upper()}{line[1:]}." for line in (*about_baselines(known.metrics), *about_sharing(known.metrics))
    ]


def _learnt(known: Known) -> Iterator[Part]:
    if rows := _rows(known):
        yield Lines([rows])
    yield _tasks(known)
    found = known.description
    if found is not None:
        facts = []
        for name, source in found.data.items():
            mark = found.fingerprints.get(name)
            file = Path(source.rpartition(":")[2]).name
            facts.append((f"data {name}".strip(), file + (f", fingerprint {mark[:16]}" if mark else "")))
        facts.append(("licence", found.license or "none stated"))
        if known.look is not None and known.look.features is not None and known.look.features.left_out:
            left = [f"{name} ({why})" for name, why in known.look.features.left_out.items()]
            facts.append(("left out", ", ".join(left[:20]) + (f" and {len(left) - 20} more" if len(left) > 20 else "")))
        yield Facts(facts)
        if found.features:
            yield Details(f"{_count(len(found.features), 'feature')}, and how they were read", [_features(known)])
    elif names := known.record.get("inputs"):
        shown = [str(name) for name in names[:MOST]]
        yield Details("Inputs", [Lines([", ".join(shown)])])
    if known.missing:
        yield Lines([f"Not in this report: {line}" for line in known.missing])


def _rows(known: Known) -> str:
    """Say how many rows there were for what."""
    splits = known.metrics.get("splits", {})
    folds = known.metrics.get("cross_validation", {}).get("folds")
    rows = {part: splits[part]["rows"] for part in PARTS if part in splits} or known.record.get("rows", {})
    if folds:  # each row is held out of some members
        total, test = rows["train"] + rows.get("test", 0), rows.get("test", 0)
        folded = f"{rows['train']:,} to train, another of {folds} parts of them to validate each member"
        return f"{total:,} rows: {folded}, {test:,} to test."
    said = ", ".join(f"{count:,} {PARTS.get(part, part)}" for part, count in rows.items())
    return f"{sum(rows.values()):,} rows: {said}." if rows else ""


def _tasks(known: Known) -> Table:
    fitted = {} if known.description is None else {task["name"]: task for task in known.description.tasks}
    splits = [part for part in ("train", "val", "test") if part in known.metrics.get("splits", {})]
    looks = {} if known.look is None else known.look.targets
    columns = ["Task", "Kind", *(["Labels in", "Learnt as"] if fitted else []), *(["Labels"] if looks else [])]
    columns += [PARTS[part] for part in splits]
    rows = []
    for name, kind in known.tasks.items():
        row = [Cell(name), Cell(kind)]
        if fitted:
            own = fitted.get(name)
            row += [Cell(", ".join(own["columns"])), Cell(learnt(own))] if own else [Cell(""), Cell("")]
        if looks:
            row.append(Cell(described(looks[name], 120).partition(", ")[2] if name in looks else ""))
        for part in splits:
            row.append(number(known.metrics["splits"][part]["tasks"].get(name, {}).get("rows")))
        rows.append(row)
    numeric = frozenset(range(len(columns) - len(splits), len(columns)))
    return Table(
        "The tasks, the labels that they were learnt from, and how many rows have one.", columns, rows, numeric
    )


def _features(known: Known) -> Table:
    assert known.description is not None
    looked = {} if known.look is None or known.look.features is None else known.look.features.columns
    every = known.description.features
    columns = ["Feature", "Kind", "Read as", *(["Empty cells", "Values"] if looked else [])]
    rows = []
    for feature in every[:MOST]:
        row = [Cell(feature.name), Cell(feature.kind), Cell(feature.encoding)]
        if looked:
            own = looked.get(feature.name)
            values = "" if own is None or own.levels is None else f"{own.levels:,} levels"
            if own is not None and own.low is not None and own.high is not None:
                values = f"{own.low:.6g} to {own.high:.6g}"
            row += [number(None if own is None else own.missing), Cell(values)]
        rows.append(row)
    more = f"; the first {MOST} of {len(every):,}" if len(every) > MOST else ""
    return Table(f"The features{more}.", columns, rows, frozenset({3} if looked else ()))


def _measured(known: Known) -> Iterator[Part]:
    if known.part is None:
        return
    yield summary(known)
    for title, tables in (
        ("All metrics", by_kind(known)), ("Each class", by_class(known)), ("Over the folds", by_fold(known)),
    ):  # fmt: skip
        if tables:
            yield Details(title, tables)


def _training(known: Known) -> Iterator[Part]:
    config, record = known.config, known.record
    parts = {} if known.description is None else known.description.parts
    facts = [(name, part) for name, part in parts.items()] or [
        ("balancer", str(config.get("balancer", {}).get("name")))
    ]
    if known.description is not None:
        shared = f"{known.description.shared:,} of them shared by several tasks"
        members = f", in each of {known.description.members} members" if known.description.members > 1 else ""
        facts.append(("parameters", f"{known.description.parameters:,}{members}; {shared}"))
    elif "parameters" in record:
        facts.append(("parameters", f"{record['parameters']:,}"))
    if known.course is not None:
        last = max(one.history["epoch"][-1] for one in known.course.members or (known.course,))
        kept = known.metrics.get("epoch")
        whose = "the median of the members' epochs that were kept" if known.course.members else "the one that was kept"
        facts.append(("epochs", f"{last:.0f}" + (f"; {kept} is {whose}" if kept else "")))
    if record.get("seconds") is not None:
        training, waiting = record.get("seconds_training"), record.get("seconds_waiting") or 0
        waited = f"; {waiting / training:.0%} of the training waited for data" if training else ""
        facts.append(("time", f"{duration(record['seconds'])} on {record.get('device')}{waited}"))
    if record.get("peak_memory_bytes"):
        facts.append(("memory", f"{record['peak_memory_bytes'] / 1e6:,.0f} MB at most"))
    yield Facts(facts)


def _course(known: Known, notice: Callable[[str], None]) -> Iterator[Part]:
    """Yield the figures of the training."""
    shown: list[Drawn | Picture] = []
    for drawing in drawings_of(known.course, [], notice):
        with noting_failure(drawing.stem, notice):
            shown.append(draw(drawing.draw, CAPTIONS.get(drawing.stem, drawing.stem), notice))
    if shown:
        yield Figures(shown)


def _predictions(known: Known, name: str, notice: Callable[[str], None]) -> Iterator[Part]:
    """Yield the figures of the predictions, which are drawn again if that can be done.

    Else those that are in the run's folder are shown, as images: what is in them is not ours.
    """
    shown: list[Drawn | Picture] = []
    if (evaluated := known.evaluated) is None:
        shown += _kept(known.path / PLOTS, {drawing.stem for drawing in drawings_of(known.course, [], notice)})
        every = len(shown)
    else:
        drawings = drawings_of(None, list(answers_of(evaluated.tasks, evaluated.part, evaluated.answer)), notice)
        every = len(drawings)
        for drawing in drawings[:MOST_FIGURES]:
            of = max((task for task in evaluated.tasks if drawing.stem.endswith(f"_{task}")), key=len)
            what = drawing.stem.removesuffix(f"_{of}").replace("_", " ")
            with noting_failure(drawing.stem, notice):
                shown.append(draw(drawing.draw, f"{of}: {what}, test rows", notice))
    if shown:
        yield Figures(shown[:MOST_FIGURES])
    if every > MOST_FIGURES:
        more = f"{MOST_FIGURES} of {every} figures; all: mtl evaluate {shlex.quote(name)} --plots figures"
        yield Lines([more])


def _kept(folder: Path, drawn_again: set[str]) -> list[Drawn | Picture]:
    """Return the pictures of a folder, but for those that are drawn again."""
    files = sorted(file for file in folder.glob("*") if file.suffix in TYPES and file.stem not in drawn_again)
    return [
        Picture(f"data:{TYPES[file.suffix]};base64,{base64.b64encode(file.read_bytes()).decode()}", file.stem)
        for file in files
    ]


def usage(name: str, example: str) -> Iterator[Part]:
    """Yield the commands that use a run."""
    run = shlex.quote(name)
    yield Code("Predict new rows, read as the training file was:", f"mtl predict {run} {example} > predictions.csv")
    yield Code(
        "Measure it again, on its test rows or on a labelled table:",
        f"mtl evaluate {run}\nmtl evaluate {run} {example}",
    )
    yield Code(
        "See which features a task rests on, and what tasks share:", f"mtl explain {run}\nmtl explain {run} --shared"
    )
    yield Code("See what is in the model, and give it away:", f"mtl inspect {run}\nmtl pack {run}")
    python = (
        f"import mtl_cli\n\nmodel = mtl_cli.load({name!r})\npredictions = model.predict(table)  # a pandas DataFrame"
    )
    yield Code("From Python:", python)


def _repeat(known: Known, name: str) -> Iterator[Part]:
    record = known.record
    command = record.get("command")
    if command:
        yield Code("The command that made it:", shlex.join(command))
    for words in record.get("resumed", []):
        yield Code("It was then resumed:", shlex.join(words))
    again = f"mtl train {shlex.quote(f'{name}/config.yaml')}"
    yield Code("The same again from its config, and with another seed:", f"{again}\n{again} seed=1")
    facts: list[tuple[str, str]] = [
        (key, str(record[key])) for key in ("mtl", "python", "torch", "platform", "device", "seed") if key in record
    ]
    marks: Mapping[str, str] = {} if known.description is None else known.description.fingerprints
    facts += [(f"fingerprint of the data {key}".strip(), mark) for key, mark in marks.items()]
    yield Lines(["On one machine one seed gives one result, to the bit, with these versions and data:"])
    yield Facts(facts)
    yield Details("The whole config", [Code("config.yaml", to_yaml(known.config))])


def _some(names: list[str]) -> str:
    """Return some names in a list, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _count(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"
