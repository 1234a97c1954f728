"""`icmass simulate`: a mock survey."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icmass.cli import options
from icmass.cli.progress import progress
from icmass.errors import InputError

if TYPE_CHECKING:
    from icmass.survey.catalogue_table import HaloTable
    from icmass.survey.config import SurveyConfig


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
) -> None:
    """Simulate a survey of galaxy clusters: photons, maps and truths in one Zarr store.

    The content depends on the preset, the configuration, the seed and the catalogue alone, never on
    the workers or the chunks; a survey is the beginning of every larger one with the same seed.
    """
    from icmass.survey.presets import resolve_config
    from icmass.survey.write import simulate_survey

    if n is None and catalogue is None:
        raise InputError("is missing", field="--n", mend="give it, or a --catalogue")
    resolved = resolve_config(
        preset,
        config,
        tuple(assign or ()),
        tuple(variant or ()),
        physics=physics,
        universes=universes,
        twins=catalogue is not None,
    )
    table = None
    if catalogue is not None:
        resolved, table = _with_catalogue(resolved, catalogue)
        n = len(table.rows) if n is None else min(n, len(table.rows))
    with progress("clusters") as report:
        simulate_survey(
            resolved,
            n_clusters=n or 0,
            seed=seed,
            out=out,
            workers=workers,
            scheduler=scheduler,
            chunk=chunk,
            resume=resume,
            overwrite=overwrite,
            progress=report,
            rows=None if table is None else table.rows,
            about_rows=None if table is None else table.about,
        )
    if table is not None:
        _print_honoured(out)
    drawn = f", {resolved.physics.universes} universes" if resolved.physics else ""
    typer.echo(f"{out}: {n} clusters, preset {preset}, seed {seed}{drawn}")


def _with_catalogue(config: SurveyConfig, file: Path) -> tuple[SurveyConfig, HaloTable]:
    """Read the user's halos, tell what of them is used, and fit the configuration to them."""
    from icmass.survey.catalogue_table import read_halo_table, with_table

    if config.twins is None:
        raise InputError("is null", field="twins", mend="leave it out of the configuration")
    table = read_halo_table(file, config.twins, config.cosmology, config.halos.box_mpc_h)
    for note in table.notes:
        typer.echo(f"{file.name}: {note}")
    return with_table(config, table), table


def _print_honoured(out: Path) -> None:
    from icmass.survey.catalog import open_survey
    from icmass.survey.twin_report import honoured

    for line in honoured(open_survey(out)):
        typer.echo(line)
