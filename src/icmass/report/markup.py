"""Pieces of the page as HTML; every text that comes from a file is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from icmass.report.figures import Plate, data_uri

_LARGE_SVG = 400_000  # bytes; beyond, the smaller of vectors and pixels is embedded


def section(heading: str, *parts: str) -> str:
    """Return a section of the page; `parts` are HTML."""
    return "\n".join([f"<section>\n<h2>{escape(heading)}</h2>", *filter(None, parts), "</section>"])


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph of plain text."""
    attribute = f' class="{kind}"' if kind else ""
    return f"<p{attribute}>{escape(text)}</p>"


def bullets(texts: Sequence[str]) -> str:
    """Return a list of plain texts; nothing for no text."""
    items = "\n".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>\n{items}\n</ul>" if texts else ""


def facts(pairs: Iterable[tuple[str, str]], kind: str = "") -> str:
    """Return named facts, both plain text; of kind ``terms`` if they are definitions."""
    rows = "\n".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in pairs)
    return f'<dl class="{f"facts {kind}".strip()}">\n{rows}\n</dl>'


def code_block(text: str) -> str:
    """Return text set as code."""
    return f"<pre><code>{escape(text)}</code></pre>"


def folded(title: str, text: str) -> str:
    """Return text set as code that unfolds on a click."""
    return f"<details><summary>{escape(title)}</summary>{code_block(text)}</details>"


def absent(text: str) -> str:
    """Return a note in the place of something missing."""
    return f'<p class="absent">{escape(text)}</p>'


def plates(group: Sequence[Plate], layout: str) -> str:
    """Return figures in a grid of layout ``one``, ``two`` or ``many``; notes for missing ones."""
    cards = "\n".join(_card(plate) for plate in group)
    return f'<div class="plates {layout}">\n{cards}\n</div>'


def _card(plate: Plate) -> str:
    title = escape(plate.title)
    if plate.saved is None:
        return f"<figure>{absent(f'{plate.title}: {plate.problem}')}</figure>"
    svg, png = plate.saved.svg, plate.saved.png
    file = svg if svg.stat().st_size < max(_LARGE_SVG, png.stat().st_size) else png
    caption = f"<figcaption><b>{title}.</b> {escape(plate.caption)}</figcaption>"
    image = f'<img src="{data_uri(file)}" alt="{title}" loading="lazy">'
    return f"<figure>\n{image}\n{caption if plate.caption else ''}</figure>"
