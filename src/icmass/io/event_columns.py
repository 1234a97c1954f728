"""Columns of event tables: which hold what is read, and in which unit."""

from __future__ import annotations

import numpy as np

from icmass.errors import InputError
from icmass.io.duplicates import TIME_S
from icmass.io.fits_stream import Hdu
from icmass.io.sky_pixels import SkyPixels
from icmass.missions.mission import Columns, EventColumns

ROLES = ("RA", "DEC", "PI", "TM_NR", "FLAG", "PAT_TYP", "TIME")
"""What is read of an event, see `icmass.missions.mission.EventColumns`."""
_UNITS = {
    "RA": {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / np.pi},
    "PI": {"ev": 1.0, "kev": 1000.0},
}
_UNITS["DEC"] = _UNITS["RA"]
_CHANNELS = {"chan", "chans", "channel", "channels", "ch", "adu", "adus", "pha", "bin", "bins"}
_INTEGERS = ("TM_NR", "FLAG", "PAT_TYP")
_ABSENT = {"TM_NR": 1, "FLAG": 0, "PAT_TYP": 1, "TIME": 0.0}


def event_columns(
    hdu: Hdu, of_mission: EventColumns, *, names_mission: bool
) -> tuple[Columns, list[str]]:
    """Return the columns of an event table, by role, and what is to be said of them.

    Parameters
    ----------
    hdu : Hdu
        The events.
    of_mission : EventColumns
        What the mission calls them.
    names_mission : bool
        Whether the file says that it is the mission's.

    Returns
    -------
    columns : dict of str to (str, float)
        Name of the column that holds each role (`ROLES`; the mission's grades where they take the
        place of patterns, and its sky pixels where they do of positions), and the factor to
        degrees, eV or seconds.
    notes : list of str
        What was assumed, in a sentence each.

    Raises
    ------
    InputError
        If a column is absent, holds no numbers or has a unit that cannot be used.
    """
    columns: Columns = {}
    notes: list[str] = []
    own = of_mission.own(hdu)
    elsewhere = ("RA", "DEC") if of_mission.sky_pixels else ()
    for role in (role for role in ROLES if role not in elsewhere):
        choices = of_mission.choices.get(role, ())
        candidates = [(name, factor) for name, factor in choices if name in hdu.columns]
        known = {**_UNITS.get(role, {}), **of_mission.units.get(role, {})}
        usable = [(name, _factor(hdu, known, name, factor)) for name, factor in candidates]
        column = next(((name, factor) for name, factor in usable if factor is not None), None)
        whatever = of_mission.energy_whatever_unit if role == "PI" and names_mission else None
        if column is None and whatever and _has_impossible_unit(hdu, whatever):
            column = whatever, 1.0
            unit = hdu.columns[whatever].unit
            notes.append(f"column {whatever} has unit {unit!r}, which is no energy: taken as eV")
        if column is not None:
            columns[role] = column
            hdu.check_numbers(column[0])
        elif role not in _ABSENT and not own:
            raise _unusable(hdu, role, [name for name, _ in candidates])
    columns |= own
    for name in of_mission.sky_pixels or ():
        if name not in hdu.columns:
            raise _absent(hdu, f"has no column {name}")
        hdu.check_numbers(name)
        columns[name] = (name, 1.0)
    if "PAT_TYP" not in columns:
        grades = [name for name in of_mission.grades if name in hdu.columns]
        hdu.check_numbers(*grades)
        columns |= {name: (name, 1.0) for name in grades}
    return columns, notes


def has_precise_times(hdu: Hdu, columns: Columns) -> bool:
    """Say whether photons can be recognised by TIME: it is there, and precise enough."""
    if "TIME" not in columns:
        return False
    column = hdu.columns[columns["TIME"][0]]
    return column.code == "D" or (column.code in "JK" and abs(column.scale) <= TIME_S)


def decode_events(
    stored: dict[str, np.ndarray],
    columns: Columns,
    module: int,
    of_mission: EventColumns,
    sky: SkyPixels | None = None,
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
    of_mission : EventColumns
    sky : SkyPixels, optional
        Where on the sky the mission's pixels are.
    """
    n = len(next(iter(stored.values())))
    events: dict[str, np.ndarray] = {}
    if sky is not None and of_mission.sky_pixels:
        events["RA"], events["DEC"] = sky.to_sky(*(stored[key] for key in of_mission.sky_pixels))
    for role in (role for role in ROLES if role not in events):
        is_integer = role in _INTEGERS
        if role not in columns:
            value = module if role == "TM_NR" else _ABSENT[role]
            events[role] = np.full(n, value, "i8" if is_integer else "f8")
            continue
        name, factor = columns[role]
        values = _integers(stored[name]) if is_integer else stored[name].astype("f8", copy=False)
        with np.errstate(invalid="ignore", over="ignore"):
            events[role] = values if factor == 1 else values * factor
    if "PAT_TYP" not in columns and of_mission.n_pixels is not None:
        grades = {key: _integers(stored[key]) for key in of_mission.grades if key in columns}
        if grades:
            events["PAT_TYP"] = of_mission.n_pixels(grades)
    return events


def _integers(values: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        if values.dtype.kind == "f":
            values = np.where(np.isfinite(values), values, -1)
        return values.astype("i8", copy=False)


def _factor(hdu: Hdu, units: dict[str, float], name: str, default: float) -> float | None:
    """Return the factor of a column to our unit; None where its unit is no such one."""
    unit = hdu.columns[name].unit
    return units.get(unit) if unit and units else default


def _has_impossible_unit(hdu: Hdu, name: str) -> bool:
    """Say whether a column has a unit that neither energies nor channels can have."""
    return name in hdu.columns and hdu.columns[name].unit not in _CHANNELS


def _unusable(hdu: Hdu, role: str, names: list[str]) -> InputError:
    units = " or ".join(list(_UNITS[role])[:2])
    if names:
        what = ", ".join(f"{name} is in {hdu.columns[name].unit!r}" for name in names)
        problem = f"has no column {role} in {units}: {what}"
        hint = f"give it in {units}"
        return InputError(problem, file=hdu.file, field=hdu.label, hint=hint)
    return _absent(hdu, f"has no column {role} in {units}")


def _absent(hdu: Hdu, problem: str) -> InputError:
    hint = f"it has {', '.join(list(hdu.columns)[:30])}"
    return InputError(problem, file=hdu.file, field=hdu.label, hint=hint)
