"""The part of a run's page that says what its networks look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from icmass.report import markup
from icmass.report.figures import Plate
from icmass.report.style import Saved

FIGURES = {
    "core": (
        "Saliency against radius",
        "Sensitivity of the mass to a standardised pixel, median and 16th to 84th percentile, "
        "beside that of photon counts on the same scale.",
    ),
    "shares": (
        "Where the mass comes from",
        "What the photons of each annulus add to ln M over the expected background (integrated "
        "gradients), beside their share of the photons; beneath, per photon.",
    ),
    "examples": (
        "Four clusters",
        "Photons, saliency, and what each pixel adds to ln M. Dashed: R500c.",
    ),
    "mask": ("Gas and active galaxies", "Pixels by what sent most of their photons."),
    "bands": ("Bands", "Saliency by band."),
    "deletion": (
        "Deletion and insertion",
        "Change of ln M as pixels are replaced by background, or put into it, in order of each "
        "method, of brightness and at random.",
    ),
}


def explained_section(run: Path) -> str:
    """Return the section of the explanations that a run holds, as HTML; nothing if none.

    An explanation that cannot be read leaves a note.
    """
    parts = []
    for file in sorted((run / "explain").glob("*.json")):
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            parts += _explained(run, document)
        except (OSError, ValueError, KeyError, TypeError) as error:
            parts.append(markup.absent(f"{file.name} cannot be read ({type(error).__name__})."))
    return markup.section("What the networks look at", *parts) if parts else ""


def causal_section(run: Path) -> str:
    """Return the section of the causal tests that a run holds, as HTML; nothing if none."""
    file = run / "causal.md"
    if not file.is_file():
        return ""
    blocks = file.read_text(encoding="utf-8").split("\n\n")
    parts = [
        markup.table(_cells(block)) if block.startswith("|") else markup.paragraph(block)
        for block in blocks
        if block.strip()
    ]
    return markup.section("What known changes do to the mass", *parts)


def _explained(run: Path, document: dict[str, Any]) -> list[str]:
    from icmass.explanation.table import saliency_markdown
    from icmass.report.explain_cluster import plain

    name = document["model"]
    parts = [
        markup.paragraph(name, "lead"),
        markup.paragraph(
            f"Explained: {document['explained']}; each of {document['clusters']} clusters by the "
            "network that was not trained on its part of the box."
        ),
    ]
    saliency = document["methods"].get("saliency", {}).get("saliency")
    if saliency is not None:
        parts.append(markup.table(_cells(saliency_markdown(saliency))))
    figures = run / "figures"
    plates = []
    for stem, (title, caption) in FIGURES.items():
        path = figures / f"explain-{plain(name)}-{stem}"
        saved = Saved(path.with_name(path.name + ".png"), path.with_name(path.name + ".svg"))
        if saved.png.is_file() and saved.svg.is_file():
            plates.append(Plate(stem, f"{name}: {title}", caption, saved))
    parts.append(markup.plates(plates, "two"))
    if document["checks"] is not None:
        words = "Sanity checks; a method that fails the first two is not to be believed."
        parts += [markup.paragraph(words), markup.table(_checks(document["checks"]))]
    return parts


def _checks(checks: dict[str, Any]) -> list[list[str]]:
    """Return the sanity checks as a table: a row a check, a column a method."""
    from icmass.explanation.methods import METHODS

    verdicts = {(row["check"], row["method"]): row for row in checks["verdicts"]}
    methods = list(dict.fromkeys(method for _, method in verdicts))
    names = list(dict.fromkeys(check for check, _ in verdicts))
    bars = {row["check"]: row["bar"] for row in checks["verdicts"]}
    rows = [["check", "should be", *(METHODS[method].title for method in methods)]]
    for name in sorted(names, key=lambda name: not name.startswith("random")):
        found = [verdicts.get((name, method)) for method in methods]
        rows.append([name, bars[name], *map(_verdict, found)])
    return rows


def _verdict(row: dict[str, Any] | None) -> str:
    if row is None or row["value"] is None:
        return "–"
    return f"{row['value']:.3f}" + ("" if row["passed"] else " FAILS")


def _cells(markdown: str) -> list[list[str]]:
    """Return the rows of the table in a text of Markdown, its head first."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    rows = [[cell.strip().strip("*") for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in rows if not all(set(cell) <= set("-: ") for cell in row)]
