"""`icmass ingest`: real and simulated photons made into a survey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icmass.cli import options
from icmass.cli.ingest_magneticum import magneticum, photons
from icmass.cli.interruption import resumable, unfinished
from icmass.cli.options import SeveralValues
from icmass.cli.progress import stages
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
    flag: options.Flag = None,
    pattern: options.Pattern = None,
    modules: options.Modules = None,
    light_leak: options.LightLeakOption = "exclude",
    gti: options.Gti = True,
    instrument: options.Instrument = None,
    bands: Annotated[str, typer.Option(help="Bands, keV.")] = "0.5-1.2,1.2-2,2-7",
    pixels: Annotated[int, typer.Option(min=8, max=1024, help="Pixels along a side.")] = 128,
    half_width: Annotated[
        float, typer.Option(min=0.1, max=20, help="Half the side of a map, comoving Mpc/h.")
    ] = 2.3,
    workers: options.Workers = 1,
    scheduler: options.Scheduler = None,
    resume: options.Resume = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a survey.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a survey of clusters in event files: maps in each cluster's comoving frame.

    Of many files, up to a whole sky, each cluster is read from those that its map reaches into; a
    photon that is in two is counted once. Files and clusters that cannot be read are listed, and
    the others are written. A killed run goes on with --resume, to the same survey.
    """
    from icmass.survey.event_survey import ingest

    how = options.event_options(locals())
    kept = unfinished(out), None if overwrite else out
    with resumable(*kept), stages(quiet=quiet) as report:
        made = ingest(
            files,
            out,
            ra=ra,
            dec=dec,
            redshift=redshift,
            table=table,
            nh=nh,
            bands=bands,
            pixels=pixels,
            half_width=half_width,
            workers=workers,
            scheduler=scheduler,
            resume=resume,
            overwrite=overwrite,
            progress=report,
            notes=options.say,
            **how,
        )
    report_failed(made.failed, len(made.failed) + len(made.names))
    events = f"; events: {made.outcomes}" if made.outcomes else ""
    typer.echo(f"{out}: {len(made.names)} clusters{events}")


def report_failed(failed: dict[str, InputError], n: int) -> None:
    """List the clusters that could not be used, one line each; exit with 2 if none was good."""
    for name, error in failed.items():
        options.say(f"cluster {name}: {error.command_line}")
    if failed and len(failed) == n:
        raise InputError(f"none of the {n} clusters could be used", field="--table")
