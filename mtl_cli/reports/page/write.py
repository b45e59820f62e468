"""Writing a page as one HTML file that loads nothing, and runs no script but its own."""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from mtl_cli import __version__
from mtl_cli.reports.page.parts import Page

if TYPE_CHECKING:
    from jinja2 import Template

HERE = Path(__file__).parent


@functools.cache
def _template(file: Path) -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(file.parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    ).get_template(file.name)


def filled(file: Path, /, **values: Any) -> str:
    """Return a template with values in it, each of whose texts is escaped."""
    html = _template(file).render(version=__version__, **values)
    return html.encode("utf-8", "replace").decode("utf-8")  # names of files may hold bytes that are no letters


def to_html(page: Page) -> str:
    """Return a page as HTML. All its texts are escaped, and the browser is told to run nothing that is not ours."""
    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return filled(
        HERE / "page.html",
        page=page,
        sections=[section for section in page.sections if section.parts],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=f"sha256-{digest}",
        numbers=itertools.count(1),
        next=next,
    )
