"""Tables for other programs: ECSV, FITS and VOTable, with units, UCDs, descriptions, provenance.

Units are those of the FITS standard and of VOUnits, which know no h: columns in Msun/h or comoving
Mpc/h carry no unit, and say theirs in their description (and their name); each has a twin without
h. UCDs are of the IVOA's vocabulary UCD1+.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from icmass import __version__
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.survey.catalog import VARIABLES, survey_cosmology
from icmass.survey.chosen import as_slice
from icmass.survey.writers.files import check_new_file, new_file

if TYPE_CHECKING:
    from astropy.table import Column, Table

SUFFIXES = (".ecsv", ".fits", ".vot", ".xml")
"""Suffixes of the tables that can be written."""
_POSITIONS = {"pos.eq.ra;meta.main", "pos.eq.dec;meta.main"}


@dataclass(frozen=True)
class Field:
    """What a column is.

    Attributes
    ----------
    unit : str or None
        Unit in the file, of the FITS standard.
    ucd : str
        UCD1+ of the column.
    factor : float
        What the survey's values are multiplied with to be in `unit`.
    """

    unit: str | None
    ucd: str
    factor: float = 1.0


FIELDS: dict[str, Field] = {
    "ra": Field("deg", "pos.eq.ra;meta.main"),
    "dec": Field("deg", "pos.eq.dec;meta.main"),
    "redshift": Field(None, "src.redshift"),
    "exposure": Field("s", "time.duration;obs.exposure"),
    "nh": Field("cm-2", "phys.columnDensity", 1e20),
    "halo_id": Field(None, "meta.id"),
    "snapshot": Field(None, "meta.id"),
    "T": Field("keV", "phys.temperature"),
    "L_X": Field("erg s-1", "phys.luminosity;em.X-ray", 1e44),
    "L_X_soft": Field("erg s-1", "phys.luminosity;em.X-ray.soft", 1e44),
    "sigma_v_true": Field("km s-1", "phys.veloc.dispersion"),
    "N_gal": Field(None, "meta.number;src"),
    "sigma_v": Field("km s-1", "phys.veloc.dispersion"),
    "n_phot": Field("count", "phot.count;em.X-ray"),
    "n_phot_r500": Field("count", "phot.count;em.X-ray"),
    "n_phot_2r500": Field("count", "phot.count;em.X-ray"),
    "exposure_aperture": Field("s", "time.duration;obs.exposure"),
    "visible_fraction": Field(None, "stat.filling"),
    "visible_fraction_map": Field(None, "stat.filling"),
}
"""Variables of a survey that are columns as they are, in this order; masses and radii follow."""


def column(
    name: str, values: Any, description: str, *, unit: str | None = None, ucd: str = ""
) -> Column:
    """Return a column; where values are None, or NaN beside numbers, nothing is known.

    Parameters
    ----------
    name : str
        Its name.
    values : sequence
        Its values.
    description : str
        What it is; the unit too where it has h in it.
    unit : str, optional
        Unit of the FITS standard.
    ucd : str
        UCD1+.
    """
    from astropy.table import Column, MaskedColumn

    values = list(values) if not isinstance(values, np.ndarray) else values
    about = {"unit": unit, "description": description, "meta": {"ucd": ucd} if ucd else {}}
    if isinstance(values, np.ndarray) or not any(value is None for value in values):
        return Column(values, name=name, **about)
    known = [value for value in values if value is not None]
    if not known or isinstance(known[0], float):
        numbers = [np.nan if value is None else float(value) for value in values]
        return Column(numbers, name=name, **about)
    filled = [type(known[0])() if value is None else value for value in values]
    return MaskedColumn(filled, name=name, mask=[value is None for value in values], **about)


def survey_table(survey: xr.Dataset, index: np.ndarray | None = None) -> Table:
    """Return truths and proxies of the clusters of a survey, only those that it knows.

    Parameters
    ----------
    survey : Dataset
    index : ndarray of int, optional
        The clusters; default: all.

    Returns
    -------
    astropy.table.Table
        A row for each cluster: ``cluster`` (its index), `FIELDS`, masses in Msun/h and in Msun,
        R500c in comoving Mpc/h, physical Mpc and arcmin, place in the simulation box and latent
        physics. ``meta``: preset, seed, cosmology, version, configuration.
    """
    from astropy.table import Table

    index = np.arange(survey.sizes["cluster"]) if index is None else np.asarray(index)
    part = survey.drop_dims("galaxy", errors="ignore").isel(cluster=as_slice(index))
    cosmology = survey_cosmology(survey)
    columns = [column("cluster", index, "index in the survey", ucd="meta.id;meta.main")]
    if names := json.loads(survey.attrs.get("names", "[]")):
        called = [str(names[i]) for i in index]
        columns.append(column("id", called, "name of the cluster", ucd="meta.id"))
    for name, of in FIELDS.items():
        if name in part:
            values = part[name].values * of.factor if of.factor != 1 else part[name].values
            about = VARIABLES[name].long_name
            columns.append(column(name, values, about, unit=of.unit, ucd=of.ucd))
    for name in ("m500c", "M_gas", "M_star"):
        if name in part:
            columns += mass_columns(name, part[name].values, VARIABLES[name].long_name, cosmology)
    if "r500c" in part:
        columns += radius_columns(part["r500c"].values, part["redshift"].values, cosmology)
    if "position" in part:
        for axis, values in zip("xyz", part["position"].values.T, strict=True):
            about = f"{axis} in the simulation box [comoving Mpc/h]"
            columns.append(column(f"{axis}_mpc_h", values, about, ucd=f"pos.cartesian.{axis}"))
    for latent in sorted(str(name) for name in part if str(name).startswith("latent_")):
        about = part[latent].attrs.get("long_name", "latent physics of the mock")
        columns.append(column(latent, part[latent].values, about, ucd="stat.value;meta.modelled"))
    return Table(columns, meta=_provenance(survey, cosmology))


def mass_columns(
    name: str, values: np.ndarray, about: str, cosmology: Cosmology, *, ucd: str = "phys.mass"
) -> list[Column]:
    """Return columns ``<name>_msun_h`` and ``<name>_msun`` of masses given in Msun/h."""
    h = cosmology.h
    with_h = f"{about} [Msun/h, h = {h:g}]"
    return [
        column(f"{name}_msun_h", values, with_h, ucd=ucd),
        column(f"{name}_msun", values / h, about, unit="solMass", ucd=ucd),
    ]


def radius_columns(r500c: np.ndarray, redshift: np.ndarray, cosmology: Cosmology) -> list[Column]:
    """Return columns of R500c, given in comoving Mpc/h: that, physical Mpc, and arcmin."""
    about = "radius of mean density 500 times critical"
    size, h = "phys.size.radius", cosmology.h
    physical = r500c * cosmology.kpc_per_mpc_h(redshift) / 1000
    angle = r500c * cosmology.arcmin_per_mpc_h(redshift)
    with_h = f"{about} [comoving Mpc/h, h = {h:g}]"
    return [
        column("r500c_mpc_h_comoving", r500c, with_h, ucd=size),
        column("r500c_mpc", physical, about + ", physical", unit="Mpc", ucd=size),
        column("r500c_arcmin", angle, about, unit="arcmin", ucd="phys.angSize"),
    ]


def cosmology_meta(cosmology: Cosmology) -> dict[str, Any]:
    """Return the parameters of a flat Lambda-CDM cosmology, for a table's ``meta``."""
    return dict(cosmology.model_dump())


def _provenance(survey: xr.Dataset, cosmology: Cosmology) -> dict[str, Any]:
    attrs = survey.attrs
    known = {key: attrs.get(key) for key in ("preset", "seed", "version", "config")}
    meta = {"creator": f"icmass {__version__}", **known, **cosmology_meta(cosmology)}
    return {key: value for key, value in meta.items() if value is not None}


def write_table(table: Table, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a table; its suffix says how: `SUFFIXES`.

    Descriptions, UCDs and ``meta`` (short keys; texts, numbers and lists of texts) go with it: in
    FITS as TCOMMn, TUCDn and keywords of the table, in VOTable as DESCRIPTION, ucd and INFO.

    Raises
    ------
    InputError
        If the suffix is another, or the file exists already and `overwrite` is not set.
    """
    path = check_table_path(path, overwrite=overwrite)
    writers = {".ecsv": _write_ecsv, ".fits": _write_fits}
    with new_file(path, overwrite=overwrite) as unfinished:
        writers.get(path.suffix.lower(), _write_votable)(table, unfinished)
    return path


def check_table_path(
    path: str | os.PathLike[str], *, overwrite: bool = False, inputs: Sequence[Path] = ()
) -> Path:
    """Return the path of a table to write, or refuse it before the work is done.

    `inputs` are files that are read for it.

    Raises
    ------
    InputError
        As in `write_table`.
    """
    path = Path(path)
    if (suffix := path.suffix.lower()) not in SUFFIXES:
        raise InputError(
            f"{suffix or 'no suffix'} is no table", file=path, hint=f"use {', '.join(SUFFIXES)}"
        )
    return check_new_file(path, overwrite=overwrite, inputs=inputs)


def _write_ecsv(table: Table, path: Path) -> None:
    table.write(path, format="ascii.ecsv")


def _write_fits(table: Table, path: Path) -> None:
    from astropy.io import fits

    plain = table.copy()
    plain.meta = {}
    for name in plain.colnames:
        plain[name].description, plain[name].meta = None, {}
    hdu = fits.table_to_hdu(plain)
    hdu.name = "ICMASS"
    for i, name in enumerate(table.colnames, 1):
        if about := table[name].description:
            hdu.header[f"TCOMM{i}"] = _ascii(about)
        if ucd := table[name].meta.get("ucd"):
            hdu.header[f"TUCD{i}"] = ucd
    for key, value in table.meta.items():
        if isinstance(value, list):
            for line in value:
                hdu.header.add_history(_ascii(f"{key}: {line}"))
        else:
            hdu.header[key.upper()] = _ascii(value) if isinstance(value, str) else value
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()


def _write_votable(table: Table, path: Path) -> None:
    from astropy.io.votable import from_table
    from astropy.io.votable.tree import CooSys, Info
    from astropy.units import UnitsWarning

    plain = table.copy()
    plain.meta = {}
    with warnings.catch_warnings():  # VOUnits call erg deprecated, which X-ray astronomy is not
        warnings.simplefilter("ignore", UnitsWarning)
        document = from_table(plain)
    document.version = "1.4"
    resource = document.resources[0]
    inside = resource.tables[0]
    fields = {field.name: field for field in inside.fields}
    if _POSITIONS & {of.ucd for of in fields.values()}:
        resource.coordinate_systems.append(CooSys(ID="icrs", system="ICRS"))
    for of in fields.values():
        if of.ucd in _POSITIONS:
            of.ref = "icrs"
    for key, value in table.meta.items():
        lines = value if isinstance(value, list) else [value]
        for line in lines:
            text = line if isinstance(line, str) else json.dumps(line)
            inside.infos.append(Info(name=key, value=text))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnitsWarning)
        document.to_xml(str(path))
