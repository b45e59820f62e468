"""Writing the page to try a model: a form of its fields, which asks the server that it came from and nobody else."""

from __future__ import annotations

import functools
import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mtl_cli.data.feature import Field
from mtl_cli.reports.page.write import HERE as REPORT
from mtl_cli.reports.page.write import filled
from mtl_cli.serving.limits import Limits
from mtl_cli.serving.served import Served

HERE = Path(__file__).parent
FILES = {"page.css": "text/css", "try.js": "text/javascript"}
"""What the page asks for, by type."""


@functools.cache
def static(name: str) -> str:
    """Return one of these files; the style is that of `mtl report` and what a form needs beside it."""
    text = (HERE / name).read_text(encoding="utf-8")
    return (REPORT / "page.css").read_text(encoding="utf-8") + text if name == "page.css" else text


def to_html(served: Served, names: Sequence[str], limits: Limits) -> str:
    """Return the page of one model of several; every name and level in it is escaped."""
    return filled(
        HERE / "try.html",
        name=served.name,
        address=f"models/{quote(served.name, safe='')}",
        tasks=list(served.tasks),
        fields=[one for one in served.fields if one.kind != "id"],
        hint=_hint,
        names=[(name, f"?model={quote(name, safe='')}") for name in names],
        curl=_curl(served),
        rows=limits.rows,
    )


def _hint(one: Field) -> str:
    """Return what is to be known of a field's values."""
    parts = []
    if one.low is not None and one.high is not None:
        low, high = (end if isinstance(end, str) else f"{end:.6g}" for end in (one.low, one.high))
        parts.append(f"in training {low} to {high}")
    if one.longest is not None:
        parts.append(f"at most {one.longest:,} {'letters' if one.kind == 'sequence' else 'words'}")
    if one.kind == "categorical" and one.others:
        parts.append("another value is read as a rare one")
    return ", ".join(parts)


def _curl(served: Served) -> str:
    row = json.dumps([served.usual_row()], ensure_ascii=False)
    return f"curl -H 'Content-Type: application/json' -d {shlex.quote(row)} \\\n    "
