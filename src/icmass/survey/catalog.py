"""A survey on disk: one Zarr store, described once here, opened as an `xarray.Dataset`.

Dimensions are ``cluster``, ``component``, ``band``, ``y``, ``x`` (and ``axis`` for positions), and
``galaxy`` for the galaxies of all clusters, one cluster after the other (``galaxy_offset``);
``universes`` and ``parameter`` where clusters are of several universes, ``twin_row`` and
``twin_column`` where they are twins of a table's.
Every variable has ``units`` and ``long_name``.
"""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from icmass.errors import InputError
from icmass.survey.whole import WHOLE, check_whole

if TYPE_CHECKING:
    from icmass.cosmology import Cosmology

COMPONENTS = ("icm", "agn", "background")
FORMAT = 1
_STORE_FILES = ("zarr.json", ".zgroup", ".zmetadata")
MAX_PIECE_BYTES = 2**30
"""Largest chunk, or variable of one number a cluster, of a store that is opened."""


@dataclass(frozen=True)
class Variable:
    """What a variable of a survey is: its dimensions, type, unit and meaning."""

    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str


def _scalar(units: str, long_name: str, dtype: str = "f8") -> Variable:
    return Variable(("cluster",), dtype, units, long_name)


def _galaxy(dtype: str, units: str, long_name: str) -> Variable:
    return Variable(("galaxy",), dtype, units, long_name + ", of a galaxy above 10^9.5 Msun/h")


VARIABLES: dict[str, Variable] = {
    "maps": Variable(
        ("cluster", "component", "band", "y", "x"), "u2", "count", "photon counts per pixel"
    ),
    "coverage": Variable(
        ("cluster", "y", "x"),
        "f2",
        "1",
        "exposure of the pixel over the cluster's exposure; 0 where masked; absent: 1 everywhere",
    ),
    "mask": Variable(("cluster", "y", "x"), "u1", "1", "1 where the sky is used, 0 where masked"),
    "exposure_unvignetted": Variable(
        ("cluster", "y", "x"), "f4", "s", "unvignetted exposure, 0 where masked"
    ),
    "background": Variable(
        ("cluster", "band", "y", "x"), "f4", "count", "expected background counts per pixel"
    ),
    "band_exposure": Variable(
        ("cluster", "band"), "f4", "1", "exposure of the band over the cluster's exposure"
    ),
    "exposure_aperture": _scalar("s", "mean exposure of what is seen within 0.5 comoving Mpc/h"),
    "visible_fraction": _scalar("1", "visible fraction of the area within 0.5 comoving Mpc/h"),
    "visible_fraction_map": _scalar("1", "visible fraction of the map"),
    "m500c": _scalar("Msun/h", "mass inside R500c"),
    "redshift": _scalar("1", "cosmological redshift"),
    "r500c": _scalar("Mpc/h comoving", "radius of mean density 500 times critical"),
    "exposure": _scalar("s", "exposure at the survey-average effective area"),
    "nh": _scalar("1e20 cm-2", "Galactic column density"),
    "ra": _scalar("deg", "right ascension of the map's centre"),
    "dec": _scalar("deg", "declination of the map's centre"),
    "halo_id": _scalar("1", "identity of the halo", "i8"),
    "halos_drawn": _scalar(
        "1", "halos of the light-cone that were drawn until this one was detected", "i4"
    ),
    "snapshot": _scalar("1", "index of the snapshot", "i2"),
    "universe": _scalar("1", "number of the cluster's universe: its row in physics", "i4"),
    "physics": Variable(
        ("universes", "parameter"), "f8", "see parameter_unit", "parameters of each universe"
    ),
    "twin_rows": Variable(
        ("twin_row", "twin_column"), "f8", "see twin_unit", "the table whose halos were made"
    ),
    "position": Variable(
        ("cluster", "axis"), "f8", "Mpc/h comoving", "position in the simulation box"
    ),
    "T": _scalar("keV", "gas-mass-weighted temperature inside R500c"),
    "L_X": _scalar(
        "1e44 erg/s", "bolometric X-ray luminosity of the gas inside R500c, as a catalogue has it"
    ),
    "L_X_outlier": _scalar(
        "1", "1 where the catalogue's L_X is an outlier that the photons do not show", "u1"
    ),
    "L_X_ce": _scalar(
        "1e44 erg/s", "the catalogue's L_X without what is within 0.15 R500c in projection"
    ),
    "L_X_emitted": _scalar(
        "1e44 erg/s", "bolometric X-ray luminosity inside R500c of the gas whose photons are drawn"
    ),
    "L_X_emitted_ce": _scalar(
        "1e44 erg/s", "L_X_emitted without what is within 0.15 R500c in projection"
    ),
    "L_X_soft_ce": _scalar(
        "1e44 erg/s", "L_X_soft without what is within 0.15 R500c in projection"
    ),
    "L_X_soft": _scalar(
        "1e44 erg/s", "X-ray luminosity of the gas inside R500c, rest-frame 0.5-2 keV"
    ),
    "M_gas": _scalar("Msun/h", "gas mass inside R500c"),
    "M_star": _scalar("Msun/h", "stellar mass inside R500c"),
    "sigma_v_true": _scalar(
        "km/s", "line-of-sight velocity dispersion of galaxies within 2.3 comoving Mpc/h in 3D"
    ),
    "N_gal": _scalar("1", "galaxies in the cylinder of 1.25 comoving Mpc/h, 2000 km/s, clipped"),
    "sigma_v": _scalar("km/s", "velocity dispersion of the galaxies that N_gal counts"),
    "galaxy_offset": Variable(
        ("cluster_edge",), "i8", "1", "galaxies of cluster i are offset[i] to offset[i + 1]"
    ),
    "galaxy_x": _galaxy("f4", "Mpc/h comoving", "projected offset from the cluster along x"),
    "galaxy_y": _galaxy("f4", "Mpc/h comoving", "projected offset from the cluster along y"),
    "galaxy_v": _galaxy("f4", "km/s", "line-of-sight velocity relative to the cluster"),
    "galaxy_m_star": _galaxy("f4", "Msun/h", "stellar mass"),
    "galaxy_member": _galaxy("u1", "1", "1 for a member of the cluster, 0 for an interloper"),
    "n_phot": _scalar("count", "photons in the map, all components"),
    "n_phot_r500": _scalar("count", "photons within a projected R500c"),
    "n_phot_2r500": _scalar("count", "photons within a projected 2 R500c"),
}


def variable_of(name: str) -> Variable:
    """Return the description of a variable; names ``latent_*`` are latent physics of the mock."""
    if name.startswith("latent_"):
        return _scalar("1", name.removeprefix("latent_").replace("_", " ") + " (latent)")
    return VARIABLES[name]


def is_ragged(name: str) -> bool:
    """Return whether a variable has a number of entries that differs between clusters."""
    return bool({"galaxy", "cluster_edge"} & set(variable_of(name).dims))


def is_store(path: Path) -> bool:
    """Return whether a path is called as a Zarr store is, or is one, whatever it is called."""
    return path.suffix == ".zarr" or any((path / name).is_file() for name in _STORE_FILES)


def open_survey(path: str | Path) -> xr.Dataset:
    """Open a survey lazily, and check that it is one.

    Parameters
    ----------
    path : path
        Its store, ``X.zarr``.

    Returns
    -------
    Dataset
        Maps of counts (cluster, component, band, y, x), masses in Msun/h, lengths in comoving
        Mpc/h; every variable has ``units`` and ``long_name``.

    Raises
    ------
    InputError
        If the store is missing, damaged, unfinished or not a survey.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    if not path.exists():
        hint = "give the path of a survey made by `icmass simulate`"
        if partial.exists():
            hint = f"{partial.name} is unfinished: run the same `icmass simulate` with --resume"
        raise InputError("no such survey", file=path, hint=hint)
    if path.is_file():
        _refuse_file(path)
    if path.suffix == ".partial" or (path / "parts").is_dir():
        hint = "go on with --resume, or wait until it is done"
        raise InputError("is unfinished", file=path, hint=hint)
    field: str | None = None
    try:
        with warnings.catch_warnings():  # a store without consolidated metadata is as good
            warnings.simplefilter("ignore", RuntimeWarning)
            _check_sizes(path)
            check_whole(path, VARIABLES)
            survey = xr.open_zarr(path, chunks=None)
            survey.attrs.pop(WHOLE, None)  # true of this store, not of what is made of it
            for name, variable in survey.variables.items():
                field, variable.encoding["source"] = f"variable {name}", str(path)
                if name in survey.coords or variable.dims == ("cluster",):
                    variable.load()  # small; so that damage is met here
    except InputError:
        raise
    except Exception as error:  # zarr and xarray raise many kinds for a damaged store
        raise InputError(
            f"not a readable Zarr store ({type(error).__name__})",
            file=path,
            field=field,
            hint="copy it again, or make it again",
        ) from None
    check_survey(survey, path)
    return survey


def _refuse_file(path: Path) -> None:
    """Say what a file is that was given for a survey; an archive may be one."""
    with path.open("rb") as stream:
        start = stream.read(10)
    if start.startswith((b"PK", b"\x1f\x8b")) and ".fit" not in path.name.lower():
        return
    if start.startswith(b"SIMPLE") or ".fit" in path.name.lower():
        what = "is a FITS file, not a survey"
        hint = (
            "`icmass predict` takes event files and images, `icmass ingest esass` makes a survey "
        )
        hint += "of event files, `icmass ingest photons` of photon lists"
    else:
        what = "is a file, not a survey"
        hint = "give the folder X.zarr that `icmass simulate` or `icmass ingest` made"
    raise InputError(what, file=path, hint=hint)


def _check_sizes(path: Path) -> None:
    """Refuse a store that claims more than would be read at once, before anything is."""
    import zarr

    for name, array in zarr.open_group(str(path), mode="r").arrays():
        pieces = [math.prod(array.chunks)]
        if array.ndim <= 1:
            pieces.append(math.prod(array.shape))
        if max(pieces) * max(array.dtype.itemsize, 1) > MAX_PIECE_BYTES:
            raise InputError(
                f"is too large to be read ({array.dtype} {array.shape}, pieces {array.chunks})",
                file=path,
                field=f"variable {name}",
                hint="make it again",
            )


def check_survey(survey: xr.Dataset, path: Path | None = None) -> None:
    """Refuse what is no survey, of its store or in memory.

    Raises
    ------
    InputError
        That names the variable, the coordinate or the attribute.
    """
    if survey.attrs.get("format") != FORMAT:
        raise InputError(
            f"is {survey.attrs.get('format')!r}, this version reads {FORMAT}",
            file=path,
            field="attribute format",
            hint="make the survey with this version of icmass",
        )
    for name in ("maps", "redshift", "exposure"):
        if name not in survey:
            raise InputError(
                "is missing", file=path, field=f"variable {name}", hint="make it again"
            )
    _check_axes(survey, path)
    for name in map(str, survey.data_vars):
        dims = survey[name].dims
        known = name.startswith("latent_") or name in VARIABLES
        if known and not _are_dims(dims, variable_of(name).dims, any_order=path is None):
            raise InputError(f"has dimensions {dims}", file=path, field=f"variable {name}")
    if "physics" in survey:
        known = "universe" in survey and {"parameter", "parameter_unit"} <= set(survey.coords)
        number = survey["universe"].values if known else np.array([-1])
        if number.min() < 0 or number.max() >= survey.sizes["universes"]:
            raise InputError(
                "does not say of which universe each cluster is",
                file=path,
                field="variable universe",
                hint="make it again",
            )


def _are_dims(dims: tuple[Any, ...], told: tuple[str, ...], *, any_order: bool) -> bool:
    return sorted(dims) == sorted(told) if any_order else dims == told


def _check_axes(survey: xr.Dataset, path: Path | None) -> None:
    """Refuse maps whose pixels or bands make no sense."""
    for name in ("x", "y"):
        steps = np.diff(survey[name].values) if name in survey.coords else np.zeros(0)
        if not steps.size or not (steps > 0).all() or not np.allclose(steps, steps[0], rtol=1e-3):
            raise InputError(
                "is no even grid", file=path, field=f"coordinate {name}", hint="make it again"
            )
    x, y = survey["x"].values, survey["y"].values
    if len(x) != len(y) or not np.allclose(x, y, rtol=0, atol=1e-3 * (x[1] - x[0])):
        raise InputError(
            "is not that of x: maps are square, and so are their pixels",
            file=path,
            field="coordinate y",
            hint="make it again",
        )
    try:
        valid = "band" in survey.coords and all(0 <= lo < hi for lo, hi in survey_bands(survey))
    except ValueError:
        valid = False
    if not valid:
        raise InputError("are no bands", file=path, field="coordinate band", hint="make it again")


def read_values(values: xr.DataArray, file: str | None = None) -> np.ndarray:
    """Return values of a survey on disk, or say that they are damaged."""
    try:
        return values.values
    except Exception as error:  # zarr and its codecs raise many kinds for a damaged chunk
        raise InputError(
            f"cannot be read ({type(error).__name__})",
            file=file or values.encoding.get("source"),
            field=f"variable {values.name}",
            hint="copy the survey again, or make it again",
        ) from None


def survey_bands(survey: xr.Dataset) -> list[tuple[float, float]]:
    """Return the PI energy bands of a survey [keV]."""
    bands = []
    for label in survey["band"].values:
        lo, hi = str(label).split("-")
        bands.append((float(lo), float(hi)))
    return bands


def half_width_mpc_h(survey: xr.Dataset) -> float:
    """Return half the side of the survey's maps [comoving Mpc/h]."""
    x = survey["x"].values
    return round(float((x[-1] - x[0]) / 2 * len(x) / (len(x) - 1)), 6)


def survey_cosmology(survey: xr.Dataset) -> Cosmology:
    """Return the cosmology of a survey."""
    from icmass.cosmology import Cosmology  # a second of astropy

    try:
        return Cosmology.model_validate_json(survey.attrs["cosmology"])
    except (KeyError, ValueError):
        raise InputError("is damaged", field="attribute cosmology", hint="make it again") from None


def galaxy_offset(survey: xr.Dataset) -> np.ndarray:
    """Return where the galaxies of each cluster begin, and the last ones end, shape (cluster + 1,).

    Raises
    ------
    InputError
        If clusters were cut out of the survey, and their galaxies were not.
    """
    offset: np.ndarray = survey["galaxy_offset"].values
    if len(offset) != survey.sizes["cluster"] + 1:
        what = f"has {len(offset)} edges for {survey.sizes['cluster']} clusters"
        hint = "choose clusters of the whole survey by index=, which keeps their galaxies"
        raise InputError(what, field="variable galaxy_offset", hint=hint)
    return offset


def galaxies(survey: xr.Dataset, cluster: int) -> dict[str, np.ndarray]:
    """Return ``x``, ``y``, ``v``, ``m_star`` and ``member`` of a cluster's galaxies, each (n,)."""
    start, stop = galaxy_offset(survey)[cluster : cluster + 2]
    names = [str(name) for name in survey.data_vars if survey[name].dims == ("galaxy",)]
    return {name.removeprefix("galaxy_"): survey[name][start:stop].values for name in names}


def survey_config(survey: xr.Dataset) -> dict[str, Any]:
    """Return the resolved configuration that made the survey."""
    return json.loads(survey.attrs.get("config", "{}"))
