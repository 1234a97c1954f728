"""`icmass simulate`: a mock survey."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from icmass.cli.progress import progress


def simulate(
    out: Annotated[Path, typer.Option(help="The store to write, X.zarr.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Number of clusters.")],
    preset: Annotated[
        str, typer.Option(help="erosita, phox, demo, efeds, or erass1 to erass8.")
    ] = "erosita",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the survey.")] = 1,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a Dask scheduler, instead of --workers.")
    ] = None,
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
    resume: Annotated[bool, typer.Option("--resume", help="Go on with a killed run.")] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a survey of that name.")
    ] = False,
) -> None:
    """Simulate a survey of galaxy clusters: photons, maps and truths in one Zarr store.

    The content depends on the preset, the configuration and the seed alone, never on the workers
    or the chunks; a survey is the beginning of every larger one with the same seed.
    """
    from icmass.survey.presets import resolve_config
    from icmass.survey.write import simulate_survey

    resolved = resolve_config(
        preset,
        config,
        tuple(assign or ()),
        tuple(variant or ()),
        physics=physics,
        universes=universes,
    )
    with progress("clusters") as report:
        simulate_survey(
            resolved,
            n_clusters=n,
            seed=seed,
            out=out,
            workers=workers,
            scheduler=scheduler,
            chunk=chunk,
            resume=resume,
            overwrite=overwrite,
            progress=report,
        )
    drawn = f", {resolved.physics.universes} universes" if resolved.physics else ""
    typer.echo(f"{out}: {n} clusters, preset {preset}, seed {seed}{drawn}")
