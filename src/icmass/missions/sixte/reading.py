"""Event files of SIXTE: which of their columns are what the telescope's are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from icmass.errors import InputError
from icmass.missions.mission import Columns, EventTable

GRADES = ("TYPE", "NPIXELS")
"""Columns of an event's pattern."""
ENERGY_COLUMNS = ("SIGNAL", "ENERGY", "PI")
"""Columns that may hold the measured energy, in order of preference."""
_EV = {"ev": 1.0, "kev": 1000.0}
_DEGREES = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": float(np.degrees(1.0))}


def is_sixte(table: EventTable) -> bool:
    """Say whether a table is SIXTE's list of events: EVENTS, with SIGNAL or made by SIXTE."""
    creator = str(table.header.get("CREATOR", "")).upper()
    of_sixte = "SIGNAL" in table.columns or "SIXTE" in creator
    return table.is_table and table.name == "EVENTS" and of_sixte


def reads(table: EventTable) -> bool:
    """Say whether a table is SIXTE's, or has its grades in place of eROSITA's patterns."""
    has_grades = not {*GRADES}.isdisjoint(table.columns) and "PAT_TYP" not in table.columns
    return is_sixte(table) or has_grades


def sixte_columns(table: EventTable) -> Columns:
    """Return where SIXTE keeps an event's direction, measured energy and time.

    Parameters
    ----------
    table : EventTable
        The extension EVENTS.

    Returns
    -------
    dict of str to (str, float)
        ``RA`` and ``DEC`` [deg], ``PI`` [eV] and, where it is there, ``TIME`` [s]: name of the
        column, and what its numbers are to be multiplied with. SIGNAL and ENERGY are in keV unless
        TUNIT says otherwise; PI counts only where TUNIT says eV or keV, as SIXTE's are channels of
        whatever response it was run with.

    Raises
    ------
    InputError
        If it has no position or no energy.
    """
    columns: Columns = {}
    for name in ("RA", "DEC"):
        if name not in table.columns:
            raise InputError(
                f"has no column {name}", file=table.file, field=table.label,
                hint="give events with positions on the sky (SIXTE's radec2xy is not needed)",
            )  # fmt: skip
        columns[name] = (name, _factor(table, name, _DEGREES, "deg"))
    columns["PI"] = _energy(table)
    if "TIME" in table.columns:
        columns["TIME"] = ("TIME", 1.0)
    return columns


def own_columns(table: EventTable) -> Columns:
    """Return the columns of a table that is SIXTE's, and of others none."""
    return sixte_columns(table) if is_sixte(table) else {}


def _energy(table: EventTable) -> tuple[str, float]:
    for name in ENERGY_COLUMNS:
        if name in table.columns and (name != "PI" or table.columns[name].unit in _EV):
            return name, _factor(table, name, _EV, "kev")
    has_pi = "PI" in table.columns
    what = "a column PI of channels alone" if has_pi else "no column SIGNAL or ENERGY"
    raise InputError(
        f"has {what}", file=table.file, field=table.label, hint="give energies in keV or eV"
    )


def _factor(table: EventTable, name: str, units: Mapping[str, float], default: str) -> float:
    unit = table.columns[name].unit or default
    if unit not in units:
        raise InputError(
            f"has unit {unit!r}", file=table.file, field=f"{table.label}, {name}",
            hint=f"give {' or '.join(units)}",
        )  # fmt: skip
    return units[unit]


def pixels_of_grades(grades: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return the number of pixels of each event's pattern, see `pattern_of_grade`."""
    return pattern_of_grade(grades.get("TYPE"), grades.get("NPIXELS"))


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
