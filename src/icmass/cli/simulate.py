"""`icmass simulate`: a mock survey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icmass.cli import options
from icmass.cli.interruption import resumable, unfinished
from icmass.cli.progress import progress


def simulate(
    out: Annotated[Path, typer.Option(help="The store to write, X.zarr.")],
    n: Annotated[
        int | None,
        typer.Option("--n", min=1, help="Number of clusters; of a catalogue, its first rows."),
    ] = None,
    catalogue: Annotated[
        Path | None,
        typer.Option(
            metavar="TABLE",
            help="Your halos: FITS, ECSV, CSV or VOTable with M500c and redshift, and where there "
            "are, position, id, M_gas or gas fraction, T, L_X, core share, w, M_star.",
        ),
    ] = None,
    preset: Annotated[
        str, typer.Option(help="erosita, phox, demo, efeds, or erass1 to erass8.")
    ] = "erosita",
    instrument: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE", help="Telescope: erosita, xmm_pn, or a JSON file of one."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the survey.")] = 1,
    workers: options.Workers = 1,
    scheduler: options.Scheduler = None,
    chunk: Annotated[int, typer.Option(min=1, help="Clusters per chunk of the store.")] = 32,
    config: Annotated[
        Path | None, typer.Option(help="YAML file with physical and observing parameters.")
    ] = None,
    assign: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, e.g. observe.exposure_s=4000.")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(help="Physics variant on top of the preset; several are mixed in turn."),
    ] = None,
    physics: Annotated[
        str | None,
        typer.Option(metavar="prior", help="prior: the physics of each universe drawn of ranges."),
    ] = None,
    universes: Annotated[
        int | None,
        typer.Option(metavar="K", help="With --physics prior: clusters are of K universes."),
    ] = None,
    resume: options.Resume = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a survey of that name.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Simulate a survey of galaxy clusters: photons, maps and truths in one Zarr store.

    The content depends on the preset, the configuration, the seed and the catalogue alone, never on
    the workers or the chunks; a survey is the beginning of every larger one with the same seed.
    """
    import icmass

    kept = unfinished(out), None if overwrite else out
    with resumable(*kept), progress("clusters", quiet=quiet) as report:
        made = icmass.simulate(
            preset,
            n=n,
            instrument=instrument,
            seed=seed,
            out=out,
            catalogue=catalogue,
            config=config,
            assignments=assign or (),
            variants=variant or (),
            physics=physics,
            universes=universes,
            workers=workers,
            scheduler=scheduler,
            chunk=chunk,
            resume=resume,
            overwrite=overwrite,
            progress=report,
            notes=typer.echo,
        )
    n_universes = made.sizes.get("universes")
    drawn = f", {n_universes} universes" if n_universes else ""
    n_made = made.sizes["cluster"]
    typer.echo(f"{out}: {n_made} clusters, preset {preset}, seed {seed}{drawn}")
