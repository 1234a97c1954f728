"""The page of predicted masses, of real clusters or of a survey's, beside their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from icmass import __version__
from icmass.explanation.cluster import ClusterExplanation
from icmass.inference.masses import Masses
from icmass.report import markup
from icmass.report.explorer.contents import (
    Attributions,
    Contents,
    Estimates,
    Part,
    Property,
    survey_properties,
)
from icmass.report.explorer.section import make_explorer
from icmass.report.page import fill_template, write_page

PAGE = "index.html"
_NUMBERS = {
    "n_phot": ("photons in the map", "photons", "photons of all bands in the map"),
    "photons_0.5_mpc_h": (
        "photons within 0.5 Mpc/h",
        "photons",
        "photons of all bands within 0.5 comoving Mpc/h",
    ),
    "excess_sigma": (
        "excess of photons",
        "σ",
        "soft photons of the centre over the background around it, in standard deviations",
    ),
}
_ROW = {"n_phot": "photons"}  # what a row of the document calls it


def write_masses(
    masses: Masses, folder: Path, *, attribution: Sequence[ClusterExplanation] | None = None
) -> Path | None:
    """Write the page of predicted masses into a folder of pictures.

    Parameters
    ----------
    masses : Masses
        What `icmass.predict` returned.
    folder : path
    attribution : sequence of ClusterExplanation, optional
        What each pixel adds to ln M500c, a cluster after the other.

    Returns
    -------
    path or None
        ``folder/index.html``: one file, no network; None if no cluster has been read.
    """
    contents = masses_contents(masses, attribution)
    if contents is None:
        return None
    document = masses.document
    failed = [f"{row['id']}: {row['why']}" for row in document["failed"]]
    n, model = len(contents), masses.ensemble.name
    text = fill_template(
        kicker="icmass predict",
        title=f"Masses of {n:,} clusters" if n > 1 else f"Mass of {contents.names[0]}",
        lead=f"M500c of {model}, from the photons of each cluster's map.",
        sections=[
            markup.section("What to doubt", markup.bullets(masses.warnings))
            if masses.warnings
            else "",
            markup.section("What the masses take for granted", markup.bullets(masses.assumptions)),
            markup.section("Clusters without a mass", markup.bullets(failed)) if failed else "",
            markup.section(
                "Made by", markup.facts([("Model", model), ("Page written by", _version())])
            ),
        ],
        explorer=make_explorer(contents),
    )
    return write_page(Path(folder) / PAGE, text)


def _version() -> str:
    return f"icmass {__version__}"


def masses_contents(
    masses: Masses, attribution: Sequence[ClusterExplanation] | None = None
) -> Contents | None:
    """Return what the explorer of predicted masses shows; None if there is no mass."""
    if masses.survey is None or masses.prediction is None or not len(masses):
        return None
    part = Part("survey", masses.survey, np.asarray(masses.rows))
    rows = list(masses)
    every, name = np.arange(len(rows)), masses.ensemble.name
    more = {
        key: Property(
            key, label, unit, title, np.array([row[_ROW.get(key, key)] for row in rows], float)
        )
        for key, (label, unit, title) in _NUMBERS.items()
    }
    limits = np.array([row["ln_m500c"] is None for row in rows])
    carried = []
    if attribution is not None:
        maps = np.stack([each.attribution.sum(0) for each in attribution])
        carried.append(Attributions(name, every, maps))
    return Contents(
        [part],
        survey_properties([part], more),
        [Estimates(name, every, masses.prediction, limits)],
        [list(row.get("reasons") or []) for row in rows],
        carried,
        name,
    )
