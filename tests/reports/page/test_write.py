"""A page: whatever its texts hold, they are shown as texts; it loads nothing; its colours can be read."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest
from markupsafe import Markup

from mtl_cli.reports.figures.base import Axes
from mtl_cli.reports.page.parts import (
    Caution,
    Cautions,
    Cell,
    Code,
    Details,
    Drawn,
    Facts,
    Figures,
    Lines,
    Page,
    Picture,
    Section,
    Table,
)
from mtl_cli.reports.page.svg import draw
from mtl_cli.reports.page.write import HERE, to_html

HOSTILE = "</p></script><script src='http://a.b/x.js'>alert(1)</script><img src=x onerror=\"a()\"> {{ 7 * 7 }} & ' \""


class Seen(HTMLParser):
    """The tags of a page with their attributes, and its texts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def headings(self) -> list[int]:
        return [int(tag[1]) for tag, _ in self.tags if re.fullmatch(r"h[1-6]", tag)]


def page_of(text: str) -> Page:
    """Return a page with every part that there is, made of one text."""

    def on(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], label=text)
        axes.set(title=text, xlabel=text)
        axes.legend()

    table = Table(text, [text, text], [[Cell(text), Cell(text, 1.0)], [Cell(text), Cell(text, text)]], frozenset({1}))
    figures = Figures([draw(on, text, lambda line: None), Picture("data:image/png;base64,AAAA", text)])
    parts = [Lines([text]), Facts([(text, text)]), table, figures, Code(text, text), Details(text, [Lines([text])])]
    return Page(text, text, [Section(text, [*parts, Cautions([Caution(text, text, text)])]), Section("empty", [])])


def test_no_text_becomes_markup() -> None:
    html, plain = to_html(page_of(HOSTILE)), to_html(page_of("plain"))
    found, harmless = Seen(html), Seen(plain)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in harmless.tags]
    assert not any(name.startswith("on") or value == "x" for _, own in found.tags for name, value in own.items())
    assert "".join(found.texts).count(HOSTILE) >= 15
    assert "49" not in "".join(found.texts)


def test_names_of_files_that_are_no_text() -> None:
    assert "<h1>a?b</h1>" in to_html(Page("a\udcffb", "", []))


def test_it_loads_nothing_and_runs_its_own_script_alone() -> None:
    html = to_html(page_of("a"))
    found = Seen(html)
    assert "http:" not in html and "https:" not in html
    loaded = [
        value for _, own in found.tags for name, value in own.items() if name in ("src", "href", "srcset", "data")
    ]
    assert all(str(value).startswith(("data:", "#")) for value in loaded) and len(loaded) > 3
    assert not {"link", "iframe", "object", "embed", "base"} & {tag for tag, _ in found.tags}
    policy = next(str(own["content"]) for tag, own in found.tags if own.get("http-equiv") == "Content-Security-Policy")
    script = re.search(r"<script>(.*?)</script>", html, re.DOTALL)
    assert script is not None
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script[1].encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none';")


def test_it_is_said_what_everything_is() -> None:
    html = to_html(page_of("a"))
    found = Seen(html)
    tags = dict(found.tags)
    assert tags["html"] == {"lang": "en"} and "viewport" in html
    assert found.headings == [1, 2, 3]
    assert tags["svg"]["role"] == "img" and tags["svg"]["aria-label"] == "a" and tags["img"]["alt"] == "a"
    identifiers = [own["id"] for _, own in found.tags if "id" in own]
    assert len(identifiers) == len(set(identifiers))
    for _, own in found.tags:
        for name in ("aria-labelledby",):
            assert name not in own or own[name] in identifiers
    assert [own.get("data-key") for tag, own in found.tags if tag == "td"] == ["1.0", "a"]
    assert "<h2 id" in html and "empty" not in html, "a section without parts is left out"


def test_figures_take_the_colours_of_the_page_and_keep_black_on_pale_cells() -> None:
    def on(axes: Axes) -> None:
        axes.text(0.5, 0.5, "on a cell", color="black")
        axes.axvline(0.5, color="black")
        axes.set(title="above")

    svg = str(draw(on, "a", lambda line: None).svg)
    above, cell = (re.search(rf"<text ([^>]*)>{text}<", svg) for text in ("above", "on a cell"))
    assert above is not None and "fill: var(--ink)" in above[1]
    assert cell is not None and "fill" not in cell[1], "black, as nothing else is said"
    assert "stroke: var(--ink)" in svg and "stroke: #000000" not in svg and "xmlns" not in svg


def test_what_matplotlib_warns_of_is_told_but_not_of_fonts() -> None:
    notes: list[str] = []
    draw(lambda axes: axes.set(title="価格"), "a", notes.append)
    assert notes == []
    draw(lambda axes: axes.set_xlim(1, 1), "a", notes.append)
    assert len(notes) == 1 and notes[0].startswith("a: ")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_texts_have_the_contrast_of_wcag_aa(scheme: str) -> None:
    css = (HERE / "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colours = dict(re.findall(r"--([\w-]+): (#\w{6})", blocks[scheme == "dark"]))

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    def contrast(one: str, other: str) -> float:
        low, high = sorted(luminance(colours[name]) for name in (one, other))
        return (high + 0.05) / (low + 0.05)

    for text in ("ink", "quiet", "link", "fine"):
        assert contrast(text, "ground") >= 4.5, text
    assert contrast("ink", "raised") >= 4.5
    assert min(contrast(text, "caution-ground") for text in ("ink", "caution")) >= 4.5
    assert min(contrast(line, "ground") for line in ("blue", "vermilion", "green")) >= 3, "of graphics"


def test_markup_is_taken_from_drawings_alone() -> None:
    html = to_html(Page("a", "a", [Section("a", [Figures([Drawn(Markup("<svg><g/></svg>"), "<b>", 10)])])]))
    assert "<svg><g/></svg>" in html and "&lt;b&gt;" in html
