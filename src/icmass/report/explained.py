"""The part of a run's page that says what its networks look at."""

from __future__ import annotations

from pathlib import Path

from icmass.errors import InputError
from icmass.report import markup
from icmass.report.figures import Plate
from icmass.report.style import Saved
from icmass.run.explanation import Explanation
from icmass.run.folder import RunFolder

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
    folder, parts = RunFolder(run), []
    for name in folder.explained():
        try:
            parts += _explained(folder, folder.read_explanation(name))
        except InputError as error:
            parts.append(markup.absent(f"{name}.json cannot be read ({_said(error)})."))
    return markup.section("What the networks look at", *parts) if parts else ""


def causal_section(run: Path) -> str:
    """Return the section of the causal tests that a run holds, as HTML; nothing if none."""
    from icmass.explanation.causal_table import causal_tables

    folder = RunFolder(run)
    if not folder.layout.causal.is_file():
        return ""
    parts = []
    try:
        for table in causal_tables(folder.read_causal()):
            parts += [*map(markup.paragraph, table.notes), table.to_html(plain=True)]
    except InputError as error:
        parts = [markup.absent(f"causal.json cannot be read ({_said(error)}).")]
    return markup.section("What known changes do to the mass", *parts)


def _said(error: InputError) -> str:
    return f"{error.field}: {error.problem}" if error.field else error.problem


def _explained(folder: RunFolder, document: Explanation) -> list[str]:
    from icmass.explanation.table import PUBLISHED, checks_by_method, saliency_table

    parts = [
        markup.paragraph(document.model, "lead"),
        markup.paragraph(
            f"Explained: {document.explained}; each of {document.clusters} clusters by the "
            "network that was not trained on its part of the box."
        ),
    ]
    if document.saliency is not None:
        table = saliency_table(document.saliency)
        parts += [*map(markup.paragraph, table.notes), table.to_html(plain=True)]
        parts.append(markup.paragraph(PUBLISHED, "note"))
    parts.append(markup.plates(_figures(folder, document.model), "two"))
    if document.checks is not None:
        text = "Sanity checks; a method that fails the first two is not to be believed."
        parts += [markup.paragraph(text), checks_by_method(document.checks).to_html(plain=True)]
    return parts


def _figures(folder: RunFolder, model: str) -> list[Plate]:
    """Return the figures of an explanation that are in the run."""
    from icmass.report.explain_cluster import plain

    plates = []
    for stem, (title, caption) in FIGURES.items():
        path = folder.layout.figures / f"explain-{plain(model)}-{stem}"
        saved = Saved(path.with_name(path.name + ".png"), path.with_name(path.name + ".svg"))
        if saved.png.is_file() and saved.svg.is_file():
            plates.append(Plate(stem, f"{model}: {title}", caption, saved))
    return plates
