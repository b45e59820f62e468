"""Figures as SVG within a page: in the page's own colours, dark ones too, with texts that can be read and found."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Callable
from functools import partial
from typing import Any
from xml.etree import ElementTree

from markupsafe import Markup

from mtl_cli.reports.figures.layout import BLUE, GREEN, VERMILION, Axes, settings
from mtl_cli.reports.page.parts import Drawn
from mtl_cli.reports.plots import drawn

INK = "#1b2a38"
"""What texts and axes are drawn in, to be told apart from what is black on purpose: counts on pale cells."""
COLOURS = {
    INK: "var(--ink)", "#ebebeb": "var(--rule)",
    BLUE.lower(): "var(--blue)", VERMILION.lower(): "var(--vermilion)", GREEN.lower(): "var(--green)",
}  # fmt: skip
"""What the page's own colours take the place of: darker ones would hardly be seen on a dark ground."""
PIXELS = 4 / 3
"""A point is so many."""
NO_FONT = "missing from font"
"""matplotlib warns that it would have to draw a letter; here the browser does."""


def look() -> dict[Any, Any]:
    """Return matplotlib's settings: those of all figures, on no ground, with texts as texts."""
    ink = ("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color")
    ground = {"figure.facecolor": "none", "axes.facecolor": "none", "savefig.facecolor": "none"}
    return settings() | dict.fromkeys(ink, INK) | ground | {"svg.fonttype": "none"}


def draw(on: Callable[[Axes], None], caption: str, notice: Callable[[str], None]) -> Drawn:
    """Draw a figure; what matplotlib warns of is told."""
    written = io.BytesIO()
    for line in drawn(on, lambda save: partial(save, form="svg")(written), look()):
        if NO_FONT not in line:
            notice(f"{caption}: {line}")
    return inlined(written.getvalue(), caption)


def inlined(svg: bytes, caption: str) -> Drawn:
    """Return an SVG file of matplotlib's as part of a page: without a header, with names of its own."""
    root = ElementTree.fromstring(svg)
    mark = f"f{hashlib.sha256(svg).hexdigest()[:8]}-"
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        element.attrib = {name.rpartition("}")[2]: _own(name, value, mark) for name, value in element.attrib.items()}
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in ("metadata", "style"):
                parent.remove(child)
    width = float(root.attrib.pop("width").removesuffix("pt")) * PIXELS
    root.attrib.pop("height"), root.attrib.pop("version")
    root.attrib |= {"role": "img", "aria-label": caption}
    return Drawn(Markup(ElementTree.tostring(root, encoding="unicode")), caption, round(width))


def _own(name: str, value: str, mark: str) -> str:
    """Return an attribute with the page's colours, and with names that no other figure of the page has."""
    if name == "id":
        return mark + value
    if value.startswith("#") and name.endswith("href"):
        return f"#{mark}{value[1:]}"
    value = value.replace("url(#", f"url(#{mark}")
    if name == "style":
        value = re.sub(r"font(-family)?: [^;]*(; )?", _without_family, value)
        value = value.replace("stroke: #000000", "stroke: var(--ink)")
        for plain, own in COLOURS.items():
            value = value.replace(plain, own)
    return value


def _without_family(found: re.Match[str]) -> str:
    """Leave the size of a font alone: the family is the page's."""
    size = re.search(r"[\d.]+px", found[0])
    return "" if size is None else f"font-size: {size[0]}; "
