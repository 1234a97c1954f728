"""`icmass export`: a survey, or clusters of it, in the formats that others read."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from icmass.cli.options import chosen_clusters
from icmass.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

FITS = (".fits", ".fits.gz", ".fit")


class Format(StrEnum):
    """What to write."""

    events = "events"
    images = "images"
    expmap = "expmap"
    simput = "simput"
    table = "table"


Option = typer.Option
Survey = Annotated[Path, typer.Argument(metavar="SURVEY", help="A survey, X.zarr.")]
As = Annotated[
    Format,
    Option(
        "--format",
        help="events: eSASS-like event files; images: counts, exposure, mask; expmap: exposure "
        "maps; simput: photons of the sky; table: truths and proxies.",
    ),
]
Out = Annotated[
    Path,
    Option(
        metavar="PATH_OR_DIR",
        help="A .fits file for one cluster, else a folder; a table: .ecsv, .fits, .vot or .xml.",
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


def export(
    survey: Survey,
    what: As,
    out: Out,
    index: Index = None,
    overwrite: Overwrite = False,
    seed: Seed = 0,
) -> None:
    """Export a survey, or clusters of it, as event files, images, photon lists or a table."""
    from icmass.survey.catalog import open_survey

    data = open_survey(survey)
    rows = np.unique(chosen_clusters(index, data.sizes["cluster"], survey.name))
    if what is Format.table:
        from icmass.survey.writers.tables import survey_table, write_table

        typer.echo(write_table(survey_table(data, rows), out, overwrite=overwrite))
        return
    write = _writer(what, data, seed=seed, overwrite=overwrite)
    paths = _paths(what, out, rows)
    failed = {}
    for cluster, path in paths.items():
        try:
            for file in write(cluster, path):
                typer.echo(file)
        except (InputError, OSError) as error:
            if len(paths) == 1:
                raise
            said = error.command_line if isinstance(error, InputError) else str(error)
            failed[cluster] = " ".join(said.split())
    for cluster, why in failed.items():
        typer.echo(f"icmass: cluster {cluster} left out: {why}", err=True)
    if len(failed) == len(paths):
        raise InputError("none of the clusters could be written", file=out)


def _paths(what: Format, out: Path, rows: np.ndarray) -> dict[int, Path]:
    """Return where each cluster goes: the file asked for, or one in a folder."""
    if out.name.lower().endswith(FITS) and not out.is_dir():
        if len(rows) > 1 or what is Format.images:
            raise InputError(
                "several files do not fit into one",
                file=out,
                field="--out",
                mend="give a folder, or one cluster with --index",
            )
        return {int(rows[0]): out}
    if out.is_file():
        raise InputError("is a file", file=out, field="--out", mend="give a folder")
    if what is Format.images:
        return {int(i): out for i in rows}
    return {int(i): out / f"cluster-{i:05d}_{what.value}.fits" for i in rows}


def _writer(
    what: Format, survey: xr.Dataset, *, seed: int, overwrite: bool
) -> Callable[[int, Path], list[Path]]:
    """Return what writes a cluster to a path, and returns the files that it wrote."""
    from icmass.survey.writers.events import write_events
    from icmass.survey.writers.files import new_file
    from icmass.survey.writers.images import write_image, write_images

    def expmap(cluster: int, path: Path) -> list[Path]:
        return [write_image("exposure", survey, cluster, path, overwrite=overwrite)]

    def events(cluster: int, path: Path) -> list[Path]:
        files = [write_events(survey, cluster, path, seed=seed, overwrite=overwrite)]
        if "coverage" not in survey and "mask" not in survey:
            return files
        return files + expmap(cluster, _beside(path))

    def images(cluster: int, folder: Path) -> list[Path]:
        return write_images(survey, cluster, folder, overwrite=overwrite)

    def simput(cluster: int, path: Path) -> list[Path]:
        from icmass.survey.writers.simput import export_simput

        with new_file(path, overwrite=overwrite) as unfinished:
            export_simput(survey, cluster, unfinished, seed=seed)
        return [path]

    return {
        Format.events: events,
        Format.images: images,
        Format.expmap: expmap,
        Format.simput: simput,
    }[what]


def _beside(path: Path) -> Path:
    """Return the name of the exposure map that goes with an event file."""
    stem = path.name[: path.name.lower().rindex(".fit")].removesuffix("_events")
    return path.with_name(f"{stem}_expmap.fits")
