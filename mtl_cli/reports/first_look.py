"""The first look in words: three to eight lines before training, each fitted to a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from mtl_cli.data.look import FeatureLook, Look, TargetLook
from mtl_cli.data.suspects import Finding

MOST = 8
"""Lines before training."""
SHOWN = 60
"""Columns in the table of ``mtl inspect``."""
NAMED = 3
"""Targets that have a line each; more share one."""
PARTS = {"train": "to train", "val": "to validate", "test": "to test"}
KINDS = {"numeric": "numeric", "boolean": "yes/no", "date": "date", "categorical": "categorical"}
ALL = "mtl inspect shows all"


def first_lines(look: Look, width: int = 80) -> list[str]:
    """Return the first look in at most ``MOST`` lines of at most ``width`` characters, as far as names allow."""
    lines = [parts_line(look), *target_lines(look.targets, width), *features_lines(look, width)]
    texts = [f"check: {place}{_with_short_names(finding, width - len(place))}" for place, finding in findings(look)]
    room = MOST - len(lines)
    if len(texts) > room:
        texts = [*texts[: room - 1], f"check: {len(texts) - room + 1} more; {ALL}"]
    return [shortened(line, width) for line in [*lines, *texts]]


def findings(look: Look) -> list[tuple[str, Finding]]:
    """Return what looks wrong, and in which data set where several are joined."""
    found = [] if look.features is None else [("", finding) for finding in look.features.findings]
    return found + [(f"{name}: ", finding) for name, own in look.sets.items() for _, finding in findings(own)]


def _with_short_names(finding: Finding, width: int) -> str:
    text = finding.text
    if len(text) + 7 > width:
        for name in finding.columns:
            text = text.replace(f"'{name}'", f"'{shortened(name, 20)}'")
    return text


def parts_line(look: Look) -> str:
    """Return how many rows each part has, in all and as a share of all."""
    total = sum(look.parts.values()) + look.left
    parts = [f"{rows:,} {PARTS[name]} ({rows / total:.0%})" for name, rows in look.parts.items()]
    return f"{total:,} rows: {', '.join(parts)}" + (f", {look.left:,} left out" if look.left else "")


def target_lines(targets: dict[str, TargetLook], width: int) -> list[str]:
    """Return a line for each target, or one for many."""
    if len(targets) <= NAMED:
        return [f"target {name}: {described(target, width - 12 - len(name))}" for name, target in targets.items()]
    kinds = [target.kind for target in targets.values()]
    counts = [target.labels for target in targets.values()]
    rarest = min(
        ((min(t.shares.values()) * t.labels, name) for name, t in targets.items() if t.shares), default=(0, "")
    )
    line = f"{len(targets)} targets: {', '.join(f'{kinds.count(k)} {k}' for k in dict.fromkeys(kinds))}"
    line += f"; {min(counts):,}" + (f" to {max(counts):,}" if min(counts) < max(counts) else "") + " labels"
    return [line] + ([f"the rarest class has {round(rarest[0]):,} rows, in {rarest[1]}"] if rarest[1] else [])


def described(target: TargetLook, room: int) -> str:
    """Return a target's kind, labels and balance in words."""
    start = f"{target.kind}, {target.labels:,} labels"
    if target.median is not None and target.low is not None and target.high is not None:
        return f"{start}, {target.low:.4g} to {target.high:.4g}, median {target.median:.4g}"
    shares = [f"{label} {share:.1%}" for label, share in target.shares.items()]
    return f"{start}: {listed(shares, room - len(start) - 2)}" if shares else start


def features_lines(look: Look, width: int) -> list[str]:
    """Return what the network reads, and which columns were left out."""
    found = look.features
    if look.sets:
        return sets_lines(look.sets, width)
    if look.about:
        return [look.about]
    if found is None:
        size = " x ".join(f"{size:,}" for size in look.width)
        words = {"features": f"{size} features", "sequence": f"inputs: sequences over {size} tokens"}
        return [words.get(look.inputs, f"inputs: {look.inputs} {size}".rstrip())]
    lines = [_features(found), *_filled(found)]
    if found.left_out:
        reasons = dict.fromkeys(found.left_out.values())
        by_reason = {why: [name for name, other in found.left_out.items() if other == why] for why in reasons}
        start = "left out: "
        room = (width - len(start)) // len(by_reason) - 2
        texts = [f"{listed(names, room - len(why) - 3)} ({why})" for why, names in by_reason.items()]
        lines.append(start + "; ".join(texts))
    return lines


def sets_lines(sets: dict[str, Look], width: int) -> list[str]:
    """Return a line for each of a few joined data sets: its rows, and what the network reads of them."""
    lines = []
    for name, own in list(sets.items())[:NAMED]:
        rows = sum(own.parts.values()) + own.left
        lines.append(f"{name}: {rows:,} rows, {features_lines(own, width)[0]}")
    return lines + ([f"and {len(sets) - NAMED} more data sets"] if len(sets) > NAMED else [])


def _features(found: FeatureLook) -> str:
    kinds = [column.kind for column in found.columns.values()]
    counts = [f"{kinds.count(kind):,} {KINDS[kind]}" for kind in dict.fromkeys(kinds)]
    line = f"{_number(len(kinds), 'feature')}: {', '.join(counts)}"
    if found.levels:
        line += f" ({_number(found.levels, 'level')})"
    if found.inputs != len(kinds):
        line += f"; {found.inputs:,} inputs"
    return line


def _number(count: int, what: str) -> str:
    return f"1 {what}" if count == 1 else f"{count:,} {what}s"


def _filled(found: FeatureLook) -> list[str]:
    """Return a line on the missing cells, if there are any."""
    filled = [column.missing for column in found.columns.values() if column.missing]
    cells, columns = _number(sum(filled), "empty cell"), _number(len(filled), "column")
    return [f"{cells} in {columns}, filled in and marked"] if filled else []


def listed(words: Iterable[str], room: int) -> str:
    """Return words in a list of at most ``room`` characters, at least one, and how many more there are."""
    every = list(words)
    for count in range(len(every), 0, -1):
        rest = "" if count == len(every) else f" and {len(every) - count} more"
        if len(line := ", ".join(every[:count]) + rest) <= room or count == 1:
            return line
    return ""


def shortened(line: str, width: int) -> str:
    """Return a line cut at ``width`` characters."""
    return line if len(line) <= width else f"{line[: width - 1]}…"


def full_lines(look: Look, width: int = 80) -> list[str]:
    """Return all that the first look found, and the columns in a table: what ``mtl inspect`` shows."""
    lines = [parts_line(look) if look.parts else f"{look.left:,} rows"]
    lines += [f"target {name}: {described(target, 10_000)}" for name, target in look.targets.items()]
    found = look.features
    if found is None:
        lines += features_lines(look, width)
        return [*lines, *(line for place, finding in findings(look) for line in _checked(finding, place))]
    lines += [_features(found), *_filled(found)]
    lines += [f"left out: {name} ({why})" for name, why in found.left_out.items()]
    if found.left_out:
        lines.append("  dataset.features.include=[NAME,…] takes the columns it names, include=['*'] all")
    for finding in found.findings:
        lines += _checked(finding)
    return [*lines, "", *column_table(found, width)]


def _checked(finding: Finding, place: str = "") -> list[str]:
    """Return what looks wrong, and what helps."""
    return [f"check: {place}{finding.text}", *([] if finding.hint is None else [f"  {finding.hint}"])]


def column_table(found: FeatureLook, width: int) -> list[str]:
    """Return a line for each feature column, up to ``SHOWN``: its kind, empty cells, and range or levels."""
    rows = [("feature", "kind", "empty", "from … to")]
    for name, column in list(found.columns.items())[:SHOWN]:
        values = "" if column.levels is None else f"{column.levels:,} levels"
        if column.low is not None and column.high is not None:
            values = f"{column.low:.6g} … {column.high:.6g}"
        rows.append((name, KINDS[column.kind], f"{column.missing:,}", values))
    room = max(10, width - 40)
    longest = min(max(len(row[0]) for row in rows), room)
    lines = [f"{shortened(row[0], longest):<{longest}}  {row[1]:<11}  {row[2]:>7}  {row[3]}".rstrip() for row in rows]
    more = len(found.columns) - SHOWN
    return lines + ([f"and {more:,} more features; --format json shows all"] if more > 0 else [])
