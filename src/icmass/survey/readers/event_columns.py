"""Columns of event tables: which hold what is read, and in which unit."""

from __future__ import annotations

import numpy as np

from icmass.errors import InputError
from icmass.survey.readers.duplicates import TIME_S
from icmass.survey.readers.fits_stream import Hdu
from icmass.survey.readers.sixte import grade_columns, is_sixte, pattern_of_grade, sixte_columns

Columns = dict[str, tuple[str, float]]
ROLES = {
    "RA": (("RA", 1.0),),
    "DEC": (("DEC", 1.0),),
    "PI": (("PI", 1.0), ("ENERGY", 1000.0), ("SIGNAL", 1000.0)),
    "TM_NR": (("TM_NR", 1.0), ("CCDNR", 1.0)),
    "FLAG": (("FLAG", 1.0),),
    "PAT_TYP": (("PAT_TYP", 1.0),),
    "TIME": (("TIME", 1.0),),
}
"""Columns that hold what is read, the first that is there, and the factor to our unit where they
have no TUNIT."""
_UNITS = {
    "RA": {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / np.pi},
    "PI": {"ev": 1.0, "kev": 1000.0},
}
_UNITS["DEC"] = _UNITS["RA"]
_CHANNELS = {"chan", "chans", "channel", "channels", "ch", "adu", "adus", "pha", "bin", "bins"}
_INTEGERS = ("TM_NR", "FLAG", "PAT_TYP")
_ABSENT = {"TM_NR": 1, "FLAG": 0, "PAT_TYP": 1, "TIME": 0.0}


def event_columns(hdu: Hdu, *, is_erosita: bool) -> tuple[Columns, list[str]]:
    """Return the columns of an event table, by role, and what is to be said of them.

    Parameters
    ----------
    hdu : Hdu
        The events.
    is_erosita : bool
        Whether the file says that it is eROSITA's, whose column PI is in eV by definition. There a
        unit that no energy can have is ignored: evtool writes ``deg`` on all that has none.

    Returns
    -------
    columns : dict of str to (str, float)
        Name of the column that holds each role (`ROLES`; ``TYPE`` and ``NPIXELS`` where SIXTE's
        grades take the place of patterns), and the factor to degrees, eV or seconds.
    notes : list of str
        What was assumed, in a sentence each.

    Raises
    ------
    InputError
        If a column is absent, holds no numbers or has a unit that cannot be used.
    """
    columns: Columns = {}
    notes: list[str] = []
    for role, choices in ROLES.items():
        candidates = [(name, factor) for name, factor in choices if name in hdu.columns]
        usable = [(name, _factor(hdu, role, name, factor)) for name, factor in candidates]
        column = next(((name, factor) for name, factor in usable if factor is not None), None)
        if column is None and role == "PI" and is_erosita and _has_impossible_unit(hdu):
            column = "PI", 1.0
            unit = hdu.columns["PI"].unit
            notes.append(f"column PI has unit {unit!r}, which is no energy: taken as eV")
        if column is not None:
            columns[role] = column
            hdu.check_numbers(column[0])
        elif role not in _ABSENT and not is_sixte(hdu):
            raise _unusable(hdu, role, [name for name, _ in candidates])
    if is_sixte(hdu):
        columns |= {role.upper(): column for role, column in sixte_columns(hdu).items()}
    if "PAT_TYP" not in columns:
        columns |= grade_columns(hdu)
    return columns, notes


def has_precise_times(hdu: Hdu, columns: Columns) -> bool:
    """Say whether photons can be recognised by TIME: it is there, and precise enough."""
    if "TIME" not in columns:
        return False
    column = hdu.columns[columns["TIME"][0]]
    return column.code == "D" or (column.code in "JK" and abs(column.scale) <= TIME_S)


def decode_events(
    stored: dict[str, np.ndarray], columns: Columns, module: int
) -> dict[str, np.ndarray]:
    """Return events by role in degrees, eV and seconds.

    Parameters
    ----------
    stored : dict of str to ndarray, shape (n,)
        Columns by their names in the file.
    columns : dict of str to (str, float)
        See `event_columns`.
    module : int
        The module of events that do not say theirs.
    """
    n = len(next(iter(stored.values())))
    events = {}
    for role in ROLES:
        is_integer = role in _INTEGERS
        if role not in columns:
            value = module if role == "TM_NR" else _ABSENT[role]
            events[role] = np.full(n, value, "i8" if is_integer else "f8")
            continue
        name, factor = columns[role]
        values = _integers(stored[name]) if is_integer else stored[name].astype("f8", copy=False)
        with np.errstate(invalid="ignore", over="ignore"):
            events[role] = values if factor == 1 else values * factor
    if "PAT_TYP" not in columns and ("TYPE" in columns or "NPIXELS" in columns):
        grades = {key: _integers(stored[key]) for key in ("TYPE", "NPIXELS") if key in columns}
        events["PAT_TYP"] = pattern_of_grade(grades.get("TYPE"), grades.get("NPIXELS"))
    return events


def _integers(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        if values.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, -1)
        return values.astype("i8", copy=False)


def _factor(hdu: Hdu, role: str, name: str, default: float) -> float | None:
    """Return the factor of a column to our unit; None where its unit is no such one."""
    unit = hdu.columns[name].unit
    units = _UNITS.get(role)
    return units.get(unit) if unit and units else default


def _has_impossible_unit(hdu: Hdu) -> bool:
    """Say whether PI has a unit that neither energies nor channels can have."""
    return "PI" in hdu.columns and hdu.columns["PI"].unit not in _CHANNELS


def _unusable(hdu: Hdu, role: str, names: list[str]) -> InputError:
    units = " or ".join(list(_UNITS[role])[:2])
    if names:
        what = ", ".join(f"{name} is in {hdu.columns[name].unit!r}" for name in names)
        problem, hint = f"has no column {role} in {units}: {what}", f"give it in {units}"
    else:
        problem = f"has no column {role} in {units}"
        hint = f"it has {', '.join(list(hdu.columns)[:30])}"
    return InputError(problem, file=hdu.stream.file, field=hdu.label, hint=hint)
