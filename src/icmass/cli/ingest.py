"""`icmass ingest`: real and simulated photons made into a survey."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from icmass.cli import options
from icmass.cli.ingest_magneticum import magneticum, photons
from icmass.cli.options import SeveralValues
from icmass.errors import InputError

app = typer.Typer(
    help="Make a survey of event files or photon lists.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(magneticum)
app.command()(photons)


@app.command(cls=SeveralValues)
def esass(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="eSASS event files.")],
    out: Annotated[Path, typer.Option(help="The store to write, X.zarr.")],
    ra: options.Ra = None,
    dec: options.Dec = None,
    redshift: options.Redshift = None,
    table: options.TableFile = None,
    nh: options.Nh = None,
    exposure: options.Exposure = None,
    expmap: Annotated[
        list[Path] | None, typer.Option(metavar="MAP...", help="Exposure maps, FITS images.")
    ] = None,
    expmap_kind: options.ExpmapKind = None,
    novig: options.Novig = None,
    background: options.Background = None,
    mask: options.Mask = None,
    regions: options.Regions = None,
    skip_bad_regions: options.SkipBadRegions = False,
    sources: options.Sources = None,
    min_visible: options.MinVisible = 0.5,
    flag: options.Flag = options.STANDARD_FLAG,
    pattern: options.Pattern = 15,
    modules: options.Modules = options.ALL_MODULES,
    light_leak: options.LightLeakOption = "exclude",
    gti: options.Gti = True,
    bands: Annotated[str, typer.Option(help="Bands, keV.")] = "0.5-1.2,1.2-2,2-7",
    pixels: Annotated[int, typer.Option(min=8, max=1024, help="Pixels along a side.")] = 128,
    half_width: Annotated[
        float, typer.Option(min=0.1, max=20, help="Half the side of a map, comoving Mpc/h.")
    ] = 2.3,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a survey.")] = False,
) -> None:
    """Make a survey of clusters in eROSITA event files: maps in each cluster's comoving frame.

    Several files or overlapping sky tiles are merged; a photon that is in two is counted once. A
    cluster that cannot be read is listed at the end, and the others are written.
    """
    from icmass.survey.readers.fits_images import parse_bands
    from icmass.survey.readers.observed import COMPONENTS, survey_attrs
    from icmass.survey.readers.sky_grid import MapGrid
    from icmass.survey.store import SurveyWriter, check_new_store

    how = options.event_options(locals())
    check_new_store(out, overwrite=overwrite)
    targets = options.read_targets(table, ra, dec, redshift, nh, events=files[0])
    grid = MapGrid(tuple(parse_bands(bands)), pixels, half_width)
    source = options.open_event_source(files, grid, how)
    failed: dict[str, InputError] = {}
    names: list[str] = []
    attrs: dict[str, Any] = survey_attrs(grid, preset="events", seed=0, facts=source.facts)
    writer = SurveyWriter(
        out,
        names=source.names,
        n_pixels=pixels,
        half_width=half_width,
        bands=grid.bands,
        attrs=attrs,
        components=COMPONENTS,
        overwrite=overwrite,
    )
    with writer:
        for target, values in source.read(targets):
            if isinstance(values, InputError):
                failed[target.name] = values
                continue
            names.append(target.name)
            writer.add(values)
        writer.attrs["names"] = json.dumps(names)
        if not names and len(targets) == 1:
            raise next(iter(failed.values()))
    options.print_notes(source.notes)
    report_failed(failed, len(targets))
    typer.echo(f"{out}: {len(names)} clusters; events: {source.outcomes}")


def report_failed(failed: dict[str, InputError], n: int) -> None:
    """List the clusters that could not be used, one line each; exit with 2 if none was good."""
    for name, error in failed.items():
        print(f"icmass: cluster {name}: {error}", file=sys.stderr)
    if failed and len(failed) == n:
        raise InputError(f"none of the {n} clusters could be used", field="--table")
