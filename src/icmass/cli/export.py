"""`icmass export`: a survey, or clusters of it, in the formats that others read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from icmass.cli.options import parse_indices


class Format(StrEnum):
    """What to write."""

    events = "events"
    images = "images"
    expmap = "expmap"
    simput = "simput"
    table = "table"
    croissant = "croissant"


Option = typer.Option
Survey = Annotated[Path, typer.Argument(metavar="SURVEY", help="A survey, X.zarr.")]
As = Annotated[
    Format,
    Option(
        "--format",
        help="events: event files as the telescope's own, of eROSITA eSASS-like; images: counts, "
        "exposure, mask; expmap: exposure maps; simput: photons of the sky; table: truths and "
        "proxies; croissant: a description of the store, as sites of data sets read it.",
    ),
]
Out = Annotated[
    Path,
    Option(
        metavar="PATH_OR_DIR",
        help="A .fits file for one cluster, else a folder; a table: .ecsv, .fits, .vot or .xml; "
        "croissant: .json.",
    ),
]
Index = Annotated[
    list[str] | None,
    Option(metavar="I...", help="Clusters of the survey: 3, or 0-9; default: all."),
]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace files that are there.")]
Seed = Annotated[
    int, Option(min=0, help="Seed of what maps do not keep: places in pixels, energies, times.")
]

Instrument = Annotated[
    str | None,
    Option(
        metavar="NAME",
        help="Whose files to write, where the survey's own instrument is none that is known.",
    ),
]
License = Annotated[
    str | None,
    Option(
        metavar="ID",
        help="croissant: SPDX identifier or URL of the data's licence; needed for real clusters, "
        "of mocks CC-BY-4.0.",
    ),
]
Creator = Annotated[str | None, Option(metavar="NAME", help="croissant: who made the survey.")]
Url = Annotated[str | None, Option(metavar="URL", help="croissant: the data set's page.")]


def export(
    survey: Survey,
    what: As,
    out: Out,
    index: Index = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
    instrument: Instrument = None,
    license: License = None,
    creator: Creator = None,
    url: Url = None,
) -> None:
    """Export a survey, or clusters of it, in other formats, or describe it for sites of data."""
    import icmass

    rows = parse_indices(index) if index else None
    done = icmass.export(
        survey,
        what.value,
        out,
        index=rows,
        seed=seed,
        instrument=instrument,
        license=license,
        creator=creator,
        url=url,
        overwrite=overwrite,
        written=typer.echo,
    )
    for cluster, why in done.failed.items():
        typer.echo(f"icmass: cluster {cluster} left out: {why}", err=True)
