"""The clusters to look at: one by its place, or those of a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from icmass.errors import InputError
from icmass.io.cluster_table import read_cluster_table
from icmass.io.events import scan_event_file
from icmass.io.memory_table import Tabular, label_of
from icmass.io.quantities import NH_UNIT, optional_number, position_degrees
from icmass.io.target import Target, check_target
from icmass.missions.registry import DEFAULT_MISSION
from icmass.plasma.absorption import DEFAULT_NH_1E20

Notes = Callable[[str], None]


def read_targets(
    table: Tabular | None,
    ra: Any,
    dec: Any,
    redshift: Any,
    nh: Any,
    *,
    name: str | None = None,
    events: Path | None = None,
    mission: str = DEFAULT_MISSION,
    notes: Notes | None = None,
) -> list[Target]:
    """Return the clusters to look at: one from its place, or those of a table.

    Parameters
    ----------
    table : path, TableLike or None
        FITS, ECSV, CSV or VOTable, or a table in memory, with position and redshift, and where
        there are, id and N_H.
    ra, dec, redshift, nh : float, Quantity, str or None
        Position [deg, ICRS, or sexagesimal], redshift, and column density [1e20 cm^-2], default 3.
    name : str, optional
        What the user calls the cluster.
    events : path, optional
        Event files that `icmass export` wrote of a mock say where the cluster is, at what redshift
        and behind what column density, for what is left out.
    mission : str
        Whose event files they are.
    notes : callable, optional
        Called with a line on what the table does not say.

    Raises
    ------
    InputError
        If a place is missing or impossible.
    """
    ra, dec = position_degrees(ra, dec)
    redshift = optional_number(redshift, "", "--redshift")
    nh = optional_number(nh, NH_UNIT, "--nh")
    place = {"--ra": ra, "--dec": dec, "--redshift": redshift}
    if table is not None:
        given = [key for key, value in {**place, "--name": name}.items() if value is not None]
        if given:
            why = "each cluster has its own in the --table"
            raise InputError(why, field=", ".join(given), hint="leave it out")
        return _of_table(table, DEFAULT_NH_1E20 if nh is None else nh, notes)
    if events is not None:
        told = _of_mock(events, mission)
        place = {key: told.get(key) if value is None else value for key, value in place.items()}
        nh = told.get("--nh") if nh is None else nh
    if missing := [key for key, value in place.items() if value is None]:
        raise InputError("is missing", field=", ".join(missing), hint="give it, or a --table")
    at_ra, at_dec, at_z = (float(value) for value in place.values() if value is not None)
    nh = DEFAULT_NH_1E20 if nh is None else nh
    called = "cluster" if events is None else events.name.split(".")[0]
    return [check_target(Target(name or called, at_ra, at_dec, at_z, nh))]


def _of_table(table: Tabular, nh: float, notes: Notes | None) -> list[Target]:
    """Return the clusters of a table; say what it leaves open."""
    targets = read_cluster_table(table, nh=nh, notes=notes)
    unknown = sum(not target.nh_is_known for target in targets)
    if unknown and notes is not None:
        of = "all" if unknown == len(targets) else f"{unknown} of {len(targets)}"
        notes(f"{label_of(table)}: has no N_H of {of} clusters: {nh:g}e20 cm^-2 is taken")
    return targets


def _of_mock(file: Path, mission: str) -> dict[str, float]:
    """Return what the header of a mock's event file says of its cluster, by option."""
    keys = scan_event_file(file, mission).keys
    names = {"--ra": "RA_PNT", "--dec": "DEC_PNT", "--redshift": "ICM_Z", "--nh": "ICM_NH"}
    if "ICM_Z" not in keys:
        return {}
    told = {option: keys.get(name) for option, name in names.items()}
    return {option: float(v) for option, v in told.items() if isinstance(v, int | float)}
