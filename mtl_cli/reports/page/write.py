"""Writing a page as one HTML file that loads nothing, and runs no script but its own."""

from __future__ import annotations

import base64
import hashlib
import itertools
from pathlib import Path

from markupsafe import Markup

from mtl_cli import __version__
from mtl_cli.reports.page.parts import Page

HERE = Path(__file__).parent


def to_html(page: Page) -> str:
    """Return a page as HTML. All its texts are escaped, and the browser is told to run nothing that is not ours."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    script = (HERE / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    html = environment.get_template("page.html").render(
        page=page,
        sections=[section for section in page.sections if section.parts],
        style=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(script),
        digest=f"sha256-{digest}",
        version=__version__,
        numbers=itertools.count(1),
        next=next,
    )
    return html.encode("utf-8", "replace").decode("utf-8")  # names of files may hold bytes that are no letters
