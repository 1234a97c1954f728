"""A mock survey by one call."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import xarray as xr

from icmass.arguments import as_list
from icmass.errors import InputError
from icmass.files import as_path, as_paths
from icmass.survey.catalog import open_survey
from icmass.survey.catalogue_table import HaloTable, read_halo_table, with_table
from icmass.survey.config import SurveyConfig
from icmass.survey.presets import resolve_config
from icmass.survey.store import check_new_store
from icmass.survey.stored import forget_store
from icmass.survey.twin_report import honoured
from icmass.survey.write import Progress, simulate_survey
from icmass.telescope.instrument import load_instrument


def simulate(
    preset: str = "erosita",
    *,
    n: int | None = None,
    instrument: str | Path | None = None,
    seed: int = 1,
    out: str | Path | None = None,
    catalogue: str | Path | None = None,
    config: str | Path | None = None,
    assignments: Sequence[str] = (),
    variants: Sequence[str] = (),
    physics: str | None = None,
    universes: int | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    chunk: int = 32,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    notes: Callable[[str], None] | None = None,
) -> xr.Dataset:
    """Simulate a survey of galaxy clusters: photons, maps and truths.

    The content depends on the preset, the configuration, the seed and the catalogue alone, never
    on the workers or the chunks; a survey is the beginning of every larger one with the same seed.

    Parameters
    ----------
    preset : str
        ``"erosita"``, ``"phox"``, ``"demo"``, ``"efeds"``, or ``"erass1"`` to ``"erass8"``.
    n : int, optional
        Number of clusters; of a catalogue, its first rows (default: all).
    instrument : str or path, optional
        The telescope: ``"erosita"``, ``"xmm_pn"``, or a JSON file of the same form; the same as
        ``observe.instrument`` among the `assignments`. Default: the preset's.
    seed : int
        Seed of the survey.
    out : path, optional
        The store to write, ``X.zarr``; default: the survey is kept in memory alone.
    catalogue : path, optional
        Table of your halos: FITS, ECSV, CSV or VOTable with M500c and redshift, and where there
        are, position, id, M_gas or gas fraction, T, L_X, core share, w, M_star.
    config : path, optional
        YAML file with physical and observing parameters, as ``icmass config`` prints it.
    assignments : sequence of str
        ``key=value``, e.g. ``"observe.exposure_s=4000"``.
    variants : sequence of str
        Physics variants on top of the preset; several are mixed in turn.
    physics : {"prior"}, optional
        Draw the physics of each universe of ranges.
    universes : int, optional
        How many universes a prior makes.
    workers : int
        Processes on this machine.
    scheduler : str, optional
        Address of a Dask scheduler, instead of `workers`.
    chunk : int
        Clusters per chunk of the store.
    resume : bool
        Go on with a killed run.
    overwrite : bool
        Replace a survey of that name.
    progress : callable, optional
        Called with the number of clusters done and in all.
    notes : callable, optional
        Called with each line on what of the catalogue is used, and how far it could be kept.

    Returns
    -------
    Dataset
        Masses in Msun/h, lengths in comoving Mpc/h; see `icmass.open_survey`.

    Raises
    ------
    InputError
        If what was given cannot be used.

    Examples
    --------
    >>> survey = simulate("demo", n=3, seed=5)
    >>> survey["maps"].sizes["cluster"], survey.attrs["preset"]
    (3, 'demo')
    """
    if n is None and catalogue is None:
        raise InputError("is missing", field="--n", hint="give it, or a --catalogue")
    if instrument is not None:
        load_instrument(str(instrument))  # what is wrong with it shows before anything is written
        assignments = (*as_list(assignments), f"observe.instrument={json.dumps(str(instrument))}")
    as_path(catalogue, "--catalogue")
    if out is not None:
        given = [*as_paths(catalogue), *as_paths(config), *as_paths(instrument)]
        check_new_store(Path(out), overwrite=overwrite or resume, inputs=given)
    resolved = resolve_config(
        preset,
        None if config is None else Path(config),
        tuple(as_list(assignments)),
        tuple(as_list(variants)),
        physics=physics,
        universes=universes,
        twins=catalogue is not None,
    )
    say = notes or (lambda line: None)
    table = None
    if catalogue is not None:
        resolved, table = _with_catalogue(resolved, Path(catalogue), say)
        n = len(table.rows) if n is None else min(n, len(table.rows))

    def write(store: Path) -> xr.Dataset:
        simulate_survey(
            resolved,
            n_clusters=n or 0,
            seed=seed,
            out=store,
            workers=workers,
            scheduler=scheduler,
            chunk=chunk,
            resume=resume,
            overwrite=overwrite,
            progress=progress,
            rows=None if table is None else table.rows,
            about_rows=None if table is None else table.about,
        )
        return open_survey(store)

    if out is not None:
        survey = write(Path(out))
    else:
        with tempfile.TemporaryDirectory() as folder:
            survey = forget_store(write(Path(folder) / "survey.zarr").load())
    if table is not None and notes is not None:
        for line in honoured(survey):
            say(line)
    return survey


def _with_catalogue(
    config: SurveyConfig, file: Path, say: Callable[[str], None]
) -> tuple[SurveyConfig, HaloTable]:
    """Read the user's halos, tell what of them is used, and fit the configuration to them."""
    if config.twins is None:
        raise InputError("is null", field="twins", hint="leave it out of the configuration")
    table = read_halo_table(file, config.twins, config.cosmology, config.halos.box_mpc_h)
    for note in table.notes:
        say(f"{file.name}: {note}")
    return with_table(config, table), table
