"""One self-contained page of a survey's validation: the verdict, every row, figures."""

from __future__ import annotations

import json
import shlex
from html import escape
from pathlib import Path

import xarray as xr

from icmass import __version__
from icmass.errors import InputError
from icmass.proxies.names import PROXIES
from icmass.report import markup
from icmass.report.figures import Plate
from icmass.report.page import fill_template, write_page
from icmass.report.style import symbol_html
from icmass.report.validation_figures import have_drawn, make_validation_figures
from icmass.validation.check import GROUPS, Check
from icmass.validation.formatting import tolerance_text, value_text
from icmass.validation.validate import Validation

PAGE = "validation.html"
DOCUMENT = "validation.json"


def write_validation(survey: xr.Dataset, found: Validation, folder: Path, *, path: Path) -> Path:
    """Write ``validation.json``, the figures and the page of a validation into a folder.

    Parameters
    ----------
    survey : Dataset
    found : Validation
        What `icmass.validation.validate.validate` returned for it.
    folder : path
        Made if it is not there.
    path : path
        The survey's, for the page's commands.

    Returns
    -------
    path
        ``folder/validation.html``: one file, no network, no scripts.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot be made ({error.strerror or error})", file=folder, field="--out"
        ) from None
    write_page(folder / DOCUMENT, json.dumps(found.document(), indent=1))
    plates = make_validation_figures(survey, found, folder)
    return write_page(folder / PAGE, render(found, plates, Path(path).name))


def render(found: Validation, plates: list[Plate], store: str) -> str:
    """Return the page's HTML."""
    sections = [
        markup.section(
            "Every row",
            markup.bullets(missed_rows(found)),
            check_table(found.checks),
            markup.paragraph(
                "Errors are 1 sigma, from bootstrap samples of the halos. Off by: deviation over "
                "the tolerance; beyond 1 the row is missed. Rows of scatter and correlation use "
                "the published method: residuals of ln proxy about a power law in M500c snapshot "
                "by snapshot, in sample.",
                "note",
            ),
            markup.facts(
                [(f"[{i}]", text) for i, text in enumerate(sources_of(found.checks), start=1)]
            ),
            markup.plates(have_drawn(plates, "verdict"), "one"),
            *(
                markup.paragraph(f"Left out, {reason}: {'; '.join(rows)}.", "note")
                for reason, rows in found.absent.items()
            ),
        ),
        markup.section(
            "Proxies against mass", markup.plates(have_drawn(plates, "relation"), "two")
        ),
        markup.section(
            "How the proxies go together",
            markup.plates(have_drawn(plates, "correlation"), "one"),
        ),
        markup.section("The gas itself", markup.plates(have_drawn(plates, "gas"), "two")),
        markup.section("What the telescope sees", markup.plates(have_drawn(plates, "sky"), "two")),
        markup.section("Maps", markup.plates(have_drawn(plates, "gallery"), "two")),
        _provenance(found, store),
    ]
    return fill_template(
        kicker="icmass validation",
        title=f"A mock of {found.survey['n_clusters']:,} clusters beside published values",
        lead=verdict_text(found),
        sections=sections,
    )


def verdict_text(found: Validation) -> str:
    """Return the verdict in two sentences of plain text."""
    verdict = found.verdict
    said = (
        f"{verdict.n_ok} of {verdict.n} rows ({100 * verdict.share:.0f} per cent) hold within "
        "their tolerances"
    )
    if verdict.n_ok == verdict.n:
        return f"{said}; the one furthest off is {_worst(found)}."
    return f"{said}; {verdict.n - verdict.n_ok} do not. The worst is {_worst(found)}."


def _worst(found: Validation) -> str:
    verdict = found.verdict
    side = "above" if verdict.worst_deviation > 0 else "below"
    return f"{verdict.worst}, {abs(verdict.worst_deviation):.1f} tolerances {side} its target"


def missed_rows(found: Validation) -> list[str]:
    """Return a plain sentence for each row that does not hold."""
    return [
        f"Missed: {check.name} is {value_text(check)} where {check.target.value:.4g} "
        f"({tolerance_text(check.target)}) is published."
        for check in found.checks
        if not check.ok
    ]


_HEAD = ("Row", "Value", "Target", "Tolerance", "Off by", "n", "Holds", "Source")


def sources_of(checks: list[Check]) -> list[str]:
    """Return every source once, in the order of its first row."""
    return list(dict.fromkeys(check.target.source for check in checks))


def check_table(checks: list[Check]) -> str:
    """Return the table of all rows, grouped; rows that are missed are marked and say so."""
    number = {source: i for i, source in enumerate(sources_of(checks), start=1)}
    head = "".join(f'<th scope="col">{name}</th>' for name in _HEAD)
    body = []
    for key, title in GROUPS.items():
        rows = [check for check in checks if check.group == key]
        if rows:
            blank = "<td></td>" * (len(_HEAD) - 1)
            body.append(f'<tr class="group"><th scope="rowgroup">{title}</th>{blank}</tr>')
        body += [_table_row(check, number[check.target.source]) for check in rows]
    lines = "\n".join(body)
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="validation table">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table>\n</div>"
    )


def _table_row(check: Check, source: int) -> str:
    unit = f" <small>{escape(check.unit)}</small>" if check.unit else ""
    cells = [
        value_text(check),
        f"{check.target.value:.4g}",
        tolerance_text(check.target),
        f"{check.deviation:+.2f}",
        f"{check.n:,}",
        "yes" if check.ok else "missed",
        f"[{source}]",
    ]
    row = "".join(f"<td>{escape(cell.replace('-', '−'))}</td>" for cell in cells)
    kind = "" if check.ok else ' class="miss"'
    return f'<tr{kind}><th scope="row">{_row_name(check.name)}{unit}</th>{row}</tr>'


def _row_name(name: str) -> str:
    """Return a row's name as HTML, proxies by their symbols."""
    return " ".join(
        symbol_html(word) if set(word.split("+")) <= set(PROXIES) else escape(word)
        for word in name.split(" ")
    )


def _provenance(found: Validation, store: str) -> str:
    told = found.survey
    simulate = ["icmass", "simulate", "--preset", f"{told['preset']}"]
    simulate += ["--n", f"{told['n_clusters']}", "--seed", f"{told['seed']}", "--out", store]
    lines = [simulate, ["icmass", "validate", store, "--out", "validation"]]
    return markup.section(
        "How to make it again",
        markup.code_block("\n".join(shlex.join(line) for line in lines)),
        markup.facts(
            [
                ("Survey made by", f"icmass {told['version']}"),
                ("Page written by", f"icmass {__version__}"),
            ]
        ),
    )
