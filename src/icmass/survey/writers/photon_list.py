"""A SIMPUT file of one source with its photon list, as SIXTE, SOXS and `icmass ingest` read it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icmass.errors import InputError
from icmass.observe.spectra import KEV_ERG
from icmass.survey.writers.files import new_file

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU

POINTER = "[PHLIST,1]"
_CLASS = {"HDUCLASS": "HEASARC/SIMPUT", "HDUVERS": "1.1.0"}
_SKY = {"RADESYS": "FK5", "EQUINOX": 2000.0}


def write_photon_list(
    path: str | os.PathLike[str],
    energy: np.ndarray,
    ra: np.ndarray,
    dec: np.ndarray,
    *,
    area_cm2: float,
    time_s: float,
    primary: Mapping[str, str | int | float],
    ra0: float,
    dec0: float,
    src_name: str,
    overwrite: bool = False,
) -> Path:
    """Write ideal photons as a SIMPUT 1.1 catalogue of one source, list and catalogue in one file.

    Parameters
    ----------
    path : path
        The file to write.
    energy : ndarray, shape (n,)
        Observed energies, at least one [keV].
    ra, dec : ndarray, shape (n,)
        Directions [deg].
    area_cm2, time_s : float
        Flat area [cm^2] and exposure [s] of the ideal telescope that collected them: kept as
        ``AREA`` and ``TIME`` of the primary header; the source's flux follows from them.
    primary : mapping
        Further keywords of the primary header.
    ra0, dec0 : float
        Position of the source, and reference point of the list [deg].
    src_name : str
        Name of the source.
    overwrite : bool
        Replace a file of that name.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the file exists, or the photons cannot be.
    """
    from astropy.io import fits

    path = Path(path)
    energy, ra, dec = (np.asarray(values, float) for values in (energy, ra, dec))
    _check(path, energy, ra, dec, area_cm2 * time_s)
    head = fits.PrimaryHDU()
    for key, value in {**primary, "AREA": float(area_cm2), "TIME": float(time_s)}.items():
        head.header[key] = value
    head.header.comments["AREA"] = "[cm^2] flat area of the ideal telescope"
    head.header.comments["TIME"] = "[s] its exposure"
    flux = float(energy.sum()) * KEV_ERG / (area_cm2 * time_s)
    source = _source_table(src_name, ra0, dec0, (energy.min(), energy.max()), flux)
    photons = _table("PHLIST", "PHOTONS", {"REFRA": float(ra0), "REFDEC": float(dec0)}, [
        fits.Column("ENERGY", "E", "keV", array=energy),
        fits.Column("RA", "D", "deg", array=ra),
        fits.Column("DEC", "D", "deg", array=dec),
    ])  # fmt: skip
    with new_file(path, overwrite=overwrite) as unfinished:
        fits.HDUList([head, source, photons]).writeto(unfinished)
    return path


def _source_table(
    name: str, ra: float, dec: float, band: tuple[float, float], flux: float
) -> BinTableHDU:
    from astropy.io import fits

    width = f"{max(32, len(name))}A"
    return _table("SRC_CAT", "SRC_CAT", {}, [
        fits.Column("SRC_ID", "J", array=[1]),
        fits.Column("SRC_NAME", width, array=[name]),
        fits.Column("RA", "D", "deg", array=[ra]),
        fits.Column("DEC", "D", "deg", array=[dec]),
        fits.Column("IMGROTA", "E", "deg", array=[0.0]),
        fits.Column("IMGSCAL", "E", array=[1.0]),
        fits.Column("E_MIN", "E", "keV", array=[band[0]]),
        fits.Column("E_MAX", "E", "keV", array=[band[1]]),
        fits.Column("FLUX", "E", "erg/s/cm**2", array=[flux]),
        fits.Column("SPECTRUM", "32A", array=[POINTER]),
        fits.Column("IMAGE", "32A", array=[POINTER]),
        fits.Column("TIMING", "32A", array=["NULL"]),
    ])  # fmt: skip


def _table(name: str, kind: str, more: Mapping[str, float], columns: list[object]) -> BinTableHDU:
    from astropy.io import fits

    hdu = fits.BinTableHDU.from_columns(columns, name=name, ver=1)
    for key, value in {**_CLASS, "HDUCLAS1": kind, **_SKY, **more}.items():
        hdu.header[key] = value
    return hdu


def _check(
    path: Path, energy: np.ndarray, ra: np.ndarray, dec: np.ndarray, area_time: float
) -> None:
    if not energy.shape == ra.shape == dec.shape or energy.ndim != 1 or not energy.size:
        what = f"shapes {energy.shape}, {ra.shape}, {dec.shape} are no list of photons"
        raise InputError(what, file=path)
    if not (energy > 0).all() or not np.isfinite([energy, ra, dec]).all():
        raise InputError("photons have to be finite and of positive energy", file=path)
    if not 0 < area_time < np.inf:
        raise InputError("area and exposure have to be positive", file=path, field="AREA, TIME")
