"""`icmass ingest magneticum` and `icmass ingest photons`: lists of ideal photons, seen by us."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icmass.cli.options import Quiet
from icmass.errors import InputError
from icmass.files import as_paths
from icmass.plasma.absorption import DEFAULT_NH_1E20, check_nh

if TYPE_CHECKING:
    from icmass.io.ideal_photons import PhotonTelescope
    from icmass.survey.observed.photon_survey import PhotonListTarget

Option = typer.Option
Out = Annotated[Path, Option(help="The store to write, X.zarr.")]
Ra = Annotated[
    float | None,
    Option(
        help="Right ascension of the map's centre, degrees; default: of the table, or else of the "
        "lists' first source."
    ),
]
Dec = Annotated[float | None, Option(min=-90, max=90, help="Its declination, degrees.")]
Exposure = Annotated[float, Option(min=1, max=1e7, help="Exposure to be seen, seconds.")]
Psf = Annotated[bool, Option(help="Blur positions with the point spread function.")]
Background = Annotated[bool, Option(help="Add the background of sky and particles.")]
Response = Annotated[bool, Option(help="Blur energies with the detector's response.")]
Vignetting = Annotated[
    str, Option(help="Effective area averaged over a survey's scans, or on axis: survey, onaxis.")
]
Instrument = Annotated[str, Option(help="Telescope: a name, or a file of one.")]
Bands = Annotated[str, Option(metavar="LO-HI,...", help="Bands of measured energy, keV.")]
Pixels = Annotated[int, Option(min=16, max=1024, help="Pixels along a side of a map.")]
HalfWidth = Annotated[float, Option(help="Half the side of a map, comoving Mpc/h.")]
Nh = Annotated[
    float | None,
    Option(
        min=0,
        max=1000,
        help="Galactic column density that the photons have passed, 1e20 cm^-2; default: NH of "
        f"the primary header, or {DEFAULT_NH_1E20:g}.",
    ),
]
Absorb = Annotated[
    bool, Option("--absorb", help="Absorb the photons by --nh: they have passed none yet.")
]
LittleH = Annotated[float, Option("--h", help="Hubble constant / (100 km/s/Mpc).")]
Om0 = Annotated[float, Option(help="Matter density; the defaults are Magneticum's (WMAP7).")]
Seed = Annotated[int, Option(min=0, help="Seed of what is drawn.")]
Overwrite = Annotated[bool, Option("--overwrite", help="Replace a survey of that name.")]

BANDS = "0.5-1.2,1.2-2.0,2.0-7.0"


def magneticum(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Folder of job folders (job.par, phlist.fits).")
    ],
    out: Out,
    clusters: Annotated[
        Path | None,
        Option(
            help="Table (CSV, ECSV, FITS) of clusters: cluster id, snapshot, m500c [Msun/h], x, y, "
            "z [comoving kpc/h], T [keV], L_X [1e44 erg/s], M_gas, M_star [Msun/h], sigma_v_true, "
            "and ra, dec [deg] of the maps' centres."
        ),
    ] = None,
    galaxies: Annotated[
        Path | None,
        Option(
            help="Table of galaxies: cluster id, snapshot, dx, dy or x, y, z [comoving kpc/h], "
            "v_los or vz [km/s], m_star [Msun/h]."
        ),
    ] = None,
    ra: Ra = None,
    dec: Dec = None,
    exposure: Exposure = 2000.0,
    psf: Psf = True,
    background: Background = True,
    response: Response = True,
    vignetting: Vignetting = "survey",
    instrument: Instrument = "erosita",
    bands: Bands = BANDS,
    pixels: Pixels = 128,
    half_width: HalfWidth = 2.3,
    nh: Nh = None,
    absorb: Absorb = False,
    h: LittleH = 0.704,
    om0: Om0 = 0.272,
    seed: Seed = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a survey of Magneticum's photon lists (PHOX), seen by our telescope.

    The runs of a cluster (its gas, its active nuclei, or both) are joined by snapshot and cluster
    id; each photon is kept with the probability that our telescope collects it in the exposure.
    Bad clusters are left out and named at the end.
    """
    from icmass.survey.observed.photon_jobs import find_jobs, job_layout, job_targets

    telescope = _telescope(
        exposure, psf, background, response, vignetting, instrument, bands, pixels, half_width,
        nh, absorb, h, om0,
    )  # fmt: skip
    layout = job_layout("magneticum")
    jobs, failures = find_jobs(folder, layout)
    targets, more = job_targets(
        jobs,
        cosmology=telescope.grid.cosmology,
        half_width=half_width,
        clusters=clusters,
        galaxies=galaxies,
        nh=nh,
        centre=_centre(ra, dec),
    )
    _build(
        targets, failures + more, telescope, out, seed, overwrite, quiet,
        inputs=[folder, *as_paths(clusters), *as_paths(galaxies)], preset="magneticum",
        config={"box_mpc_h": layout.box_mpc_h},
    )  # fmt: skip


def photons(
    out: Out,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="A SIMPUT catalogue or photon list, or give --table."),
    ] = None,
    table: Annotated[
        Path | None,
        Option(
            help="Table (CSV, ECSV, FITS) with a row a cluster: file (relative to the table), "
            "redshift, and if you like ra, dec, area, time, nh, cluster id, m500c_msun_h, ..."
        ),
    ] = None,
    ra: Ra = None,
    dec: Dec = None,
    redshift: Annotated[float | None, Option(help="Redshift; default: of the header.")] = None,
    area: Annotated[
        float | None,
        Option(min=0, help="Flat area of the ideal telescope, cm^2; default: AREA of the header."),
    ] = None,
    time: Annotated[
        float | None, Option(min=0, help="Its exposure, seconds; default: TIME of the header.")
    ] = None,
    exposure: Exposure = 2000.0,
    psf: Psf = True,
    background: Background = True,
    response: Response = True,
    vignetting: Vignetting = "survey",
    instrument: Instrument = "erosita",
    bands: Bands = BANDS,
    pixels: Pixels = 128,
    half_width: HalfWidth = 2.3,
    nh: Nh = None,
    absorb: Absorb = False,
    h: LittleH = 0.704,
    om0: Om0 = 0.272,
    seed: Seed = 1,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a survey of SIMPUT photon lists (PHOX, pyXSIM, SOXS), seen by our telescope."""
    from icmass.survey.observed.photon_targets import target_of_file, targets_of_table

    telescope = _telescope(
        exposure, psf, background, response, vignetting, instrument, bands, pixels, half_width,
        nh, absorb, h, om0,
    )  # fmt: skip
    given = {"ra": ra, "dec": dec, "redshift": redshift, "area": area, "time": time, "nh": nh}
    known = {name: value for name, value in given.items() if value is not None}
    failures: list[tuple[str, InputError]] = []
    if file is not None and table is None:
        targets = target_of_file(file, known)
    elif table is not None and file is None:
        targets, failures = targets_of_table(table, known, h=h)
    else:
        raise InputError("give a FILE or --table", field="FILE")
    _build(
        targets, failures, telescope, out, seed, overwrite, quiet,
        inputs=as_paths(file or table), preset="photons", config={},
    )  # fmt: skip


def _centre(ra: float | None, dec: float | None) -> tuple[float, float] | None:
    if ra is None and dec is None:
        return None
    if ra is None or dec is None:
        raise InputError("give both or none", field="--ra, --dec")
    return ra, dec


def _telescope(
    exposure: float,
    psf: bool,
    background: bool,
    response: bool,
    vignetting: str,
    instrument: str,
    bands: str,
    pixels: int,
    half_width: float,
    nh: float | None,
    absorb: bool,
    h: float,
    om0: float,
) -> PhotonTelescope:
    from pydantic import ValidationError

    from icmass.cosmology import Cosmology
    from icmass.io.fits_images import parse_bands
    from icmass.io.ideal_photons import PhotonTelescope
    from icmass.sky.map_grid import MapGrid
    from icmass.telescope.instrument import load_instrument

    if nh is not None:
        check_nh(nh)
    elif absorb:
        raise InputError("needs --nh", field="--absorb", hint="give 1e20 cm^-2, e.g. --nh 3")
    if not 0.2 < half_width <= 20:
        raise InputError(f"is {half_width:g}", field="--half-width", hint="give 0.2 to 20 Mpc/h")
    try:
        cosmology = Cosmology(h=h, om0=om0)
    except ValidationError as error:
        first = error.errors()[0]
        field = f"--{first['loc'][0]}"
        raise InputError(f"{first['msg']} (given {first['input']})", field=field) from None
    parsed = parse_bands(bands)
    edges = [edge for band in parsed for edge in band]
    if edges != sorted(edges) or edges[0] < 0.2 or edges[-1] > 10:
        hint = "give ascending bands within 0.2-10 keV that do not overlap"
        raise InputError(f"is {bands}", field="--bands", hint=hint)
    grid = MapGrid(tuple(parsed), pixels, half_width, cosmology)
    return PhotonTelescope(
        grid=grid,
        instrument=load_instrument(instrument, vignetting=vignetting),  # type: ignore[arg-type]
        exposure=exposure,
        psf=psf,
        redistribution=response,
        background=background,
        absorb_nh_1e20=(nh or 0.0) if absorb else 0.0,
    )


def _build(
    targets: Sequence[PhotonListTarget],
    failures: Sequence[tuple[str, InputError]],
    telescope: PhotonTelescope,
    out: Path,
    seed: int,
    overwrite: bool,
    quiet: bool,
    **about: Any,
) -> None:
    """Write the survey; say what was left out; fail if nothing is left."""
    from icmass.cli.progress import progress
    from icmass.survey.observed.photon_survey import build_survey

    with progress("clusters", quiet=quiet) as report:
        outcome = build_survey(
            targets, telescope, out, seed=seed, overwrite=overwrite, progress=report, **about
        )
    bad = [*failures, *outcome.failures]
    if len(bad) == 1 and not outcome.n_clusters:
        raise bad[0][1]
    for label, error in bad:
        print(f"icmass: {label}: {error.command_line}", file=sys.stderr)
    for name in outcome.left_out:
        print(f"icmass: left out: {name}", file=sys.stderr)
    if not outcome.n_clusters:
        raise InputError(f"none of {len(bad)} clusters could be read", field="input")
    names = ", ".join([*outcome.components, "background"])
    typer.echo(f"{out}: {outcome.n_clusters} clusters, components {names}, {len(bad)} left out")
