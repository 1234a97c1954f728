"""Event files of the SIXTE simulator: which of their columns are what ours are."""

from __future__ import annotations

import numpy as np

from icmass.errors import InputError
from icmass.survey.readers.fits_stream import Hdu
from icmass.survey.readers.photon_lists import ANGLE_UNITS, unit_factor, unit_of

ENERGY_COLUMNS = ("SIGNAL", "ENERGY", "PI")
"""Columns that may hold the measured energy, in order of preference."""
_EV = {"ev": 1.0, "kev": 1000.0}


def is_sixte(hdu: Hdu) -> bool:
    """Say whether a table is SIXTE's list of events: EVENTS, with SIGNAL or made by SIXTE."""
    creator = str(hdu.header.get("CREATOR", "")).upper()
    return hdu.is_table and hdu.name == "EVENTS" and ("SIGNAL" in hdu.columns or "SIXTE" in creator)


def sixte_columns(hdu: Hdu) -> dict[str, tuple[str, float]]:
    """Return where SIXTE keeps an event's direction, measured energy and time.

    Parameters
    ----------
    hdu : Hdu
        The extension EVENTS.

    Returns
    -------
    dict of str to (str, float)
        ``ra`` and ``dec`` [deg], ``pi`` [eV] and, where it is there, ``time`` [s]: name of the
        column, and what its numbers are to be multiplied with. SIGNAL and ENERGY are in keV unless
        TUNIT says otherwise; PI counts only where TUNIT says eV or keV, as SIXTE's are channels of
        whatever response it was run with.

    Raises
    ------
    InputError
        If it has no position or no energy.
    """
    columns: dict[str, tuple[str, float]] = {}
    for name in ("RA", "DEC"):
        if name not in hdu.columns:
            raise InputError(
                f"has no column {name}", file=hdu.stream.file, field=hdu.label,
                hint="give events with positions on the sky (SIXTE's radec2xy is not needed)",
            )  # fmt: skip
        columns[name.lower()] = (name, unit_factor(hdu, name, ANGLE_UNITS, "deg"))
    columns["pi"] = _energy(hdu)
    if "TIME" in hdu.columns:
        columns["time"] = ("TIME", 1.0)
    return columns


def _energy(hdu: Hdu) -> tuple[str, float]:
    for name in ENERGY_COLUMNS:
        if name in hdu.columns and (name != "PI" or unit_of(hdu, name) in _EV):
            return name, unit_factor(hdu, name, _EV, "kev")
    what = "a column PI of channels alone" if "PI" in hdu.columns else "no column SIGNAL or ENERGY"
    raise InputError(
        f"has {what}", file=hdu.stream.file, field=hdu.label, hint="give energies in keV or eV"
    )


def grade_columns(hdu: Hdu) -> dict[str, tuple[str, float]]:
    """Return the columns of SIXTE's grades that stand in for eROSITA's PAT_TYP.

    Returns
    -------
    dict of str to (str, float)
        ``TYPE``, the grade, and ``NPIXELS``, those that are there, with the factor 1.
    """
    names = [name for name in ("TYPE", "NPIXELS") if name in hdu.columns]
    hdu.check_numbers(*names)
    return {name: (name, 1.0) for name in names}


def pattern_of_grade(grade: np.ndarray | None, n_pixels: np.ndarray | None) -> np.ndarray:
    """Return the number of pixels of each event's pattern, 0 where it is invalid.

    Parameters
    ----------
    grade : ndarray of int, shape (n,), or None
        SIXTE's TYPE: below 0 for invalid patterns, 0 for singles, 1-4 doubles, 5-8 triples, and
        quadruples above, each in four orientations.
    n_pixels : ndarray of int, shape (n,), or None
        SIXTE's NPIXELS, which holds where it is given.

    Returns
    -------
    ndarray of int, shape (n,)
    """
    if n_pixels is None:
        n_pixels = np.clip((np.asarray(grade) + 3) // 4 + 1, 1, 4)
    return n_pixels if grade is None else np.where(np.asarray(grade) >= 0, n_pixels, 0)
