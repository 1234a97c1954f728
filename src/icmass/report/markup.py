"""Pieces of the page as HTML; every text that comes from a file is escaped here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from icmass.report.bars import grouped
from icmass.report.figures import Plate, data_uri
from icmass.report.narrative import Published
from icmass.report.source import Score
from icmass.report.style import GROUPS, symbol_html

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


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return a table of plain texts, the first row its head."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "\n".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows[1:]
    )
    return (
        '<div class="scroll"><table class="plain">'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}\n</tbody></table></div>"
    )


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


_HEAD = (
    ("Estimator", ""),
    ("σ<sub>paper</sub>", "per cent"),
    ("σ<sub>lnM</sub>", "per cent"),
    ("Published", "per cent"),
    ("Bias", "per cent"),
    ("68 %", "coverage"),
    ("95 %", "coverage"),
    ("CRPS", "of ln M, × 100"),
    ("Parameters", "fitted"),
    ("Training", "seconds"),
)


def score_table(scores: Sequence[Score], published: Published) -> str:
    """Return the benchmark's table, grouped; the smallest `sigma_lnm` of a group is bold."""
    head = "".join(f'<th scope="col">{a}<small>{b}</small></th>' for a, b in _HEAD)
    body = []
    for key, rows in grouped(scores):
        blank = "<td></td>" * (len(_HEAD) - 1)
        body.append(f'<tr class="group"><th scope="rowgroup">{GROUPS[key][0]}</th>{blank}</tr>')
        least = min((s.sigma_lnm for s in rows if s.sigma_lnm is not None), default=None)
        body += [_row(s, published(s.name), s.sigma_lnm == least) for s in rows]
    lines = "\n".join(body)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="benchmark table">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>\n</div>"
    )


def _row(score: Score, reference: float | None, is_best: bool) -> str:
    common = _percent(score.sigma_lnm, score.sigma_lnm_error)
    cells = [
        _percent(score.sigma_paper, score.sigma_paper_error),
        f'<span class="best">{common}</span>' if is_best else common,
        _percent(reference, None, digits=2),
        _percent(score.bias_lnm, score.bias_lnm_error, sign="+"),
        _percent(score.coverage68, None),
        _percent(score.coverage95, None),
        _percent(score.crps, None),
        _number(score.n_parameters),
        _number(score.train_seconds),
    ]
    row = "".join(f"<td>{cell}</td>" for cell in cells)
    return f'<tr><th scope="row">{symbol_html(score.name)}</th>{row}</tr>'


def _percent(value: float | None, error: float | None, sign: str = "", digits: int = 1) -> str:
    if value is None:
        return "–"
    rounded = round(100 * value, digits) or 0.0  # no minus before a zero
    text = f"{rounded:{sign if rounded else ''}.{digits}f}".replace("-", "−")
    return f'{text} <span class="error">± {100 * error:.1f}</span>' if error is not None else text


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.2g}" if 0 < value < 10 and value != int(value) else f"{value:,.0f}"
