"""A survey of real or simulated event files by one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icmass.errors import InputError
from icmass.files import as_paths
from icmass.io.fits_images import parse_bands
from icmass.io.memory_table import Tabular, as_table, table_files
from icmass.io.targets import Notes, read_targets
from icmass.sky.bands import Band
from icmass.sky.map_grid import MapGrid
from icmass.survey.ingest import Ingested, Progress, ingest_events
from icmass.survey.observed.reading import event_reading, read_files
from icmass.survey.store import check_new_store

BANDS_KEV: tuple[Band, ...] = ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))


def ingest(
    files: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    ra: Any = None,
    dec: Any = None,
    redshift: Any = None,
    table: Tabular | None = None,
    nh: Any = None,
    bands: str | Sequence[Band] = BANDS_KEV,
    pixels: int = 128,
    half_width: float = 2.3,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    notes: Notes | None = None,
    **reading: Any,
) -> Ingested:
    """Make a survey of clusters in event files: maps in each cluster's comoving frame.

    Of many files, up to a whole sky, each cluster is read from those that its map reaches into; a
    photon that is in two is counted once. Files and clusters that cannot be read are named in what
    is returned, and the others are written.

    Parameters
    ----------
    files : path or sequence of path
        Event files of one mission: eSASS' of eROSITA, or those of `instrument`.
    out : path
        The store to write, ``X.zarr``; `icmass.open_survey` opens it.
    ra, dec, redshift : float, Quantity or str, optional
        Position [deg, ICRS, or texts such as ``"10h00m24s"``] and redshift of one cluster.
    table : path or TableLike, optional
        Many clusters in their place: FITS, ECSV, CSV or VOTable; or an astropy Table, a pandas
        DataFrame or a structured NumPy array.
    nh : float or Quantity, optional
        Galactic column density [1e20 cm^-2]; default 3, or what a mock's file says.
    bands : str or sequence of (float, float)
        Bands of the maps [keV].
    pixels : int
        Pixels along a side.
    half_width : float
        Half the side of a map [comoving Mpc/h].
    workers : int
        Processes on this machine.
    scheduler : str, optional
        Address of a Dask scheduler, instead of `workers`.
    resume, overwrite : bool
        Go on with a killed run; replace a survey.
    progress : callable, optional
        Called with what is counted, the number done and the number in all.
    notes : callable, optional
        Called with each line on what was assumed.
    **reading
        How the files are read, see `icmass.survey.observed.reading.event_reading`: ``exposure``,
        ``expmap``, ``mask``, ``regions``, ``sources``, ``min_visible``, ``modules``,
        ``instrument``, ...

    Returns
    -------
    Ingested
        The store, the clusters in it, those that failed and why, and what became of the events.

    Raises
    ------
    InputError
        If what was given cannot be used.
    """
    paths = as_paths(files, "files")
    if not paths:
        raise InputError("no event file", field="files", hint="give at least one")
    table = None if table is None else as_table(table, "--table")
    given = [*paths, *table_files(table), *read_files(reading)]
    check_new_store(Path(out), overwrite=overwrite or resume, inputs=given)
    options = event_reading(**reading)
    mission = options.cuts.mission
    targets = read_targets(
        table,
        ra,
        dec,
        redshift,
        nh,
        events=paths[0],
        mission=mission,
        notes=notes,
    )
    edges = parse_bands(bands) if isinstance(bands, str) else [(lo, hi) for lo, hi in bands]
    result = ingest_events(
        paths,
        targets,
        MapGrid(tuple(edges), pixels, half_width),
        options,
        Path(out),
        workers=workers,
        scheduler=scheduler,
        resume=resume,
        overwrite=overwrite,
        progress=progress,
    )
    if not result.names and len(targets) == 1:
        raise next(iter(result.failed.values()))
    for note in result.notes:
        if notes is not None:
            notes(note)
    return result
