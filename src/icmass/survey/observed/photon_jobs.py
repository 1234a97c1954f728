"""Job folders of a simulation's web service: photon lists, and the cluster that they show.

A folder holds parameters (lines of a key and a value) and a photon list, named as the simulation's
`icmass.missions.photon_jobs.JobLayout` says; the runs of a cluster, of its gas, its active nuclei
or both, are joined by snapshot and cluster id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.io.halo_columns import Kind
from icmass.io.photon_lists import list_facts
from icmass.io.photon_tables import (
    CLUSTER_COLUMNS,
    GALAXY_COLUMNS,
    JoinedTable,
    Quantity,
)
from icmass.missions.photon_jobs import JobLayout
from icmass.missions.registry import get_mission
from icmass.survey.observed.photon_survey import OPTIONAL, PhotonListTarget
from icmass.universe.galaxies import VELOCITY_WINDOW, Galaxies
from icmass.universe.velocity_field import hubble_flow

SAME_RUN = 1e-4
"""Redshifts of the runs of a cluster differ by no more."""
MOST_HALOS = 10**9
_MAX_PAR_BYTES = 10**6


@dataclass(frozen=True)
class Job:
    """One job folder.

    Attributes
    ----------
    folder : Path
    file : Path
        Its photon list.
    cluster : int
        Id of the cluster in its snapshot.
    snapshot : int or None
    component : str
        Of the layout's modes.
    redshift : float or None
    parameters : dict
        What the file of parameters says, keys in small letters.
    layout : JobLayout
    """

    folder: Path
    file: Path
    cluster: int
    snapshot: int | None
    component: str
    redshift: float | None
    parameters: Mapping[str, str]
    layout: JobLayout

    @property
    def par(self) -> Path:
        """Its file of parameters."""
        return self.folder / self.layout.parameters


def job_layout(simulation: str) -> JobLayout:
    """Return how the job folders of a simulation are, or refuse one that has none."""
    layout = get_mission(simulation).jobs
    if layout is None:
        raise InputError(f"{simulation} has no job folders", field="simulation")
    return layout


def find_jobs(
    folder: str | Path, layout: JobLayout
) -> tuple[list[Job], list[tuple[str, InputError]]]:
    """Return the job folders in and below a folder, and those that cannot be used.

    Raises
    ------
    InputError
        If there is no such folder, or no photon list in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", file=folder, hint="give the folder of the jobs")
    files = sorted(file for name in layout.lists for file in folder.rglob(name))
    if not files:
        hint = f"give the folder of folders such as {layout.example}_.../{layout.lists[0]}"
        raise InputError(f"holds no {layout.lists[0]}", file=folder, hint=hint)
    jobs, failures = [], []
    for file in files:
        try:
            jobs.append(read_job(file, layout))
        except InputError as error:
            failures.append((file.parent.name, error))
    return jobs, failures


def read_job(file: Path, layout: JobLayout) -> Job:
    """Read what is known of a photon list: its parameters, primary header and folder's name."""
    par = file.parent / layout.parameters
    parameters = read_parameters(par)
    facts = list_facts(file)
    name = layout.folder.search(file.parent.name)
    mode = facts.mode if facts.mode is not None else _whole(parameters, layout.mode_keys, par)
    if mode is None or mode not in layout.modes:
        raise InputError(
            "has no MODE" if mode is None else f"is {mode}",
            file=file,
            field="primary header, MODE",
            hint="1 is the gas, 2 active nuclei, 3 both",
        )
    cluster = _whole(parameters, layout.id_keys, par)
    snapshot = _whole(parameters, layout.snapshot_keys, par)
    snapshot = facts.snapshot if snapshot is None else snapshot
    if name:
        cluster = int(name[2]) if cluster is None else cluster
        snapshot = int(name[1]) if snapshot is None else snapshot
    if cluster is None or not 0 <= cluster < MOST_HALOS:
        raise InputError(
            "has no cluster id" if cluster is None else f"has cluster id {cluster}",
            file=file.parent,
            hint=f"name it in {layout.parameters} ({layout.id_keys[0]} 313), or the folder "
            f"{layout.example}",
        )
    redshift = facts.redshift
    if redshift is None:
        redshift = _real(parameters, "redshift", par)
    component = layout.modes[mode]
    return Job(file.parent, file, cluster, snapshot, component, redshift, parameters, layout)


def read_parameters(file: Path) -> dict[str, str]:
    """Read lines of ``KEY value`` or ``KEY = value``; empty where there is no such file."""
    if not file.is_file():
        return {}
    if file.stat().st_size > _MAX_PAR_BYTES:
        raise InputError("is too large for a list of parameters", file=file)
    found = {}
    for line in file.read_text("utf-8", "replace").splitlines():
        words = line.split("#")[0].replace("=", " ").split()
        if len(words) > 1:
            found[words[0].lower()] = words[-1].strip("'\"")
    return found


def job_targets(
    jobs: Sequence[Job],
    *,
    cosmology: Cosmology,
    half_width: float,
    clusters: Path | None = None,
    galaxies: Path | None = None,
    nh: float | None = None,
    centre: tuple[float, float] | None = None,
) -> tuple[list[PhotonListTarget], list[tuple[str, InputError]]]:
    """Join the runs of each cluster with each other and with the tables.

    Parameters
    ----------
    jobs : sequence of Job
    cosmology : Cosmology
        Of the simulation: gives the Hubble flow between galaxies.
    half_width : float
        Half the side of a map [comoving Mpc/h]: galaxies beyond are left out.
    clusters, galaxies : path, optional
        Tables, see `icmass.io.photon_tables`. What a table of clusters says goes
        before a job's parameters. Galaxies have ``dx`` and ``dy``, offsets from the cluster, or
        ``x`` and ``y`` (and ``z``), positions in the box, x growing with right ascension;
        ``v_los``, the velocity relative to the cluster as observed, or ``vz`` beside ``z``, the
        peculiar one in the box; and ``m_star``.
    nh : float, optional
        Column density that the photons have passed [1e20 cm^-2]; None: as the lists say.
    centre : (float, float), optional
        Right ascension and declination of the map's centre, of the one cluster that there is [deg];
        default: columns ``ra`` and ``dec`` of `clusters`, else the first source of the lists.

    Returns
    -------
    targets : list of Target
        In order of snapshot and id, which are the keys of their random streams. An id counts from
        the most massive halo of its snapshot, so that ``halo_id`` has the snapshot in it.
    failures : list of (str, InputError)
    """
    cluster_table = _table(clusters, CLUSTER_COLUMNS, cosmology.h)
    galaxy_table = _table(galaxies, GALAXY_COLUMNS, cosmology.h)
    if galaxy_table is not None:
        _check_galaxies(galaxy_table)
    grouped: dict[tuple[int, int], list[Job]] = {}
    for job in jobs:
        grouped.setdefault((-1 if job.snapshot is None else job.snapshot, job.cluster), []).append(
            job
        )
    if centre is not None and len(grouped) > 1:
        what = f"are of one cluster, there are {len(grouped)}"
        hint = "give columns ra and dec in --clusters"
        raise InputError(what, field="--ra, --dec", hint=hint)
    targets, failures = [], []
    for key, runs in sorted(grouped.items()):
        label = f"cluster {key[1]}" + (f" of snapshot {key[0]}" if key[0] >= 0 else "")
        try:
            redshift = _redshift(runs)
            row = _row(runs, cluster_table, redshift)
            values, motion = _variables(runs[0], row), row.get("vz")
            of_row = (row["ra"], row["dec"]) if {"ra", "dec"} <= set(row) else None
            found = None
            if galaxy_table is not None:
                frame = _Frame(runs[0], redshift, values.get("position"), motion)
                found = _galaxies(galaxy_table, frame, cosmology, half_width)
            targets.append(
                PhotonListTarget(
                    label=label,
                    key=(key[0] + 1, key[1]),
                    lists=_lists(runs),
                    redshift=redshift,
                    centre=centre or of_row,
                    nh=nh if nh is not None else row.get("nh"),
                    values=values,
                    galaxies=found,
                )
            )
        except InputError as error:
            failures.append((label, error))
    return targets, failures


@dataclass(frozen=True)
class _Frame:
    """The cluster that galaxies are seen from; position in comoving Mpc/h, motion in km/s."""

    job: Job
    redshift: float
    position: np.ndarray | None
    motion: float | None


def _lists(runs: Sequence[Job]) -> dict[str, Path]:
    lists: dict[str, Path] = {}
    for run in runs:
        if run.component in lists:
            first = lists[run.component].parent.name
            raise InputError(
                f"is another run of the same kind beside {first}", file=run.folder,
                hint="leave one of them",
            )  # fmt: skip
        lists[run.component] = run.file
    return lists


def _row(runs: Sequence[Job], table: JoinedTable | None, redshift: float) -> dict[str, float]:
    """Return what is known of a cluster: by the table, or else by its jobs."""
    job = runs[0]
    row = table.one(job.cluster, job.snapshot, redshift) if table is not None else {}
    for name in ("m500c", "r500c", "x", "y", "z", "vz"):
        said = [value for run in runs if (value := _parameter(run, name)) is not None]
        if name not in row and said:
            row[name] = said[0]
    return row


def _variables(job: Job, row: Mapping[str, float]) -> dict[str, Any]:
    """Return a cluster's variables of the survey."""
    values: dict[str, Any] = {"halo_id": job.cluster}
    if job.snapshot is not None:
        values = {"halo_id": job.snapshot * MOST_HALOS + job.cluster, "snapshot": job.snapshot}
    if {"x", "y", "z"} <= set(row):
        values["position"] = np.array([row["x"], row["y"], row["z"]])
    return values | {name: row[name] for name in ("m500c", "r500c", *OPTIONAL) if name in row}


def _redshift(runs: Sequence[Job]) -> float:
    known = [run for run in runs if run.redshift is not None]
    if not known:
        raise InputError("has no REDSHIFT", file=runs[0].file, field="primary header")
    first = float(known[0].redshift or 0.0)
    for run in known[1:]:
        if abs(float(run.redshift or 0.0) - first) > SAME_RUN:
            what = f"is {run.redshift:g}, that of another run {first:g}"
            raise InputError(what, file=run.file, field="REDSHIFT")
    return first


def _parameter(job: Job, name: str) -> float | None:
    """Return what the parameters say of the cluster: Msun/h, km/s, lengths in comoving Mpc/h."""
    key, quantity = f"{job.layout.cluster_key}{name}", CLUSTER_COLUMNS[name]
    value = _real(job.parameters, key, job.par)
    if value is None:
        return None
    is_length = quantity.unit == "Mpc/h"
    value *= 1e-3 if is_length else 1.0
    if not quantity.low <= value <= quantity.high:
        said, unit = f"is {job.parameters[key]}", "comoving kpc/h" if is_length else quantity.unit
        raise InputError(said, file=job.par, field=key, hint=f"give {unit}")
    return value


def _galaxies(
    table: JoinedTable, frame: _Frame, cosmology: Cosmology, half_width: float
) -> Galaxies:
    """Return the galaxies of a cluster within its map and the window of velocities."""
    job, values = frame.job, table.values
    rows = table.rows(job.cluster, job.snapshot, frame.redshift)
    if not len(rows):
        raise InputError(f"has no galaxy of cluster {job.cluster}", file=table.file)
    x, y, z = _offsets(table, rows, frame)
    if "v_los" in values:
        v = values["v_los"][rows]
    else:
        if frame.motion is None or z is None:
            key = f"{job.layout.cluster_key}vz"
            what = f"vz needs z of the galaxies, and the cluster's position and {key}"
            raise InputError(what, file=table.file, hint="give them, or v_los")
        v = values["vz"][rows] - frame.motion + hubble_flow(frame.redshift, cosmology) * z
    m_star = values["m_star"][rows]
    seen = (np.abs(x) <= half_width) & (np.abs(y) <= half_width)
    seen &= (np.abs(v) <= VELOCITY_WINDOW) & (m_star >= job.layout.m_star_min)
    member = np.ones(int(seen.sum()), bool)
    depth = np.zeros_like(x) if z is None else z
    return Galaxies(-x[seen], y[seen], depth[seen], v[seen], m_star[seen], member)


def _offsets(
    table: JoinedTable, rows: np.ndarray, frame: _Frame
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Return offsets along the box's axes [comoving Mpc/h]; the box is periodic."""
    values = table.values
    if "dx" in values:
        x, y = values["dx"][rows], values["dy"][rows]
        if max(np.abs(x).max(), np.abs(y).max()) < 0.01:
            raise InputError(
                f"all galaxies of cluster {frame.job.cluster} are within 0.01 Mpc/h of it",
                file=table.file, hint="give offsets in kpc/h, or name them dx_mpc_h, dy_mpc_h",
            )  # fmt: skip
        return x, y, None
    if frame.position is None:
        what = f"has positions, but that of cluster {frame.job.cluster} is not known"
        raise InputError(what, file=table.file, hint="give dx and dy, or --clusters with x, y, z")
    box = frame.job.layout.box_mpc_h
    found = [
        np.mod(values[name][rows] - at + box / 2, box) - box / 2
        for name, at in zip("xyz", frame.position, strict=True)
        if name in values
    ]
    return found[0], found[1], found[2] if len(found) > 2 else None


def _check_galaxies(table: JoinedTable) -> None:
    have = set(table.values)
    if not ({"dx", "dy"} <= have or {"x", "y"} <= have):
        what = "has no columns dx, dy (offsets) or x, y (positions in the box)"
        raise InputError(what, file=table.file)
    if not have & {"v_los", "vz"}:
        raise InputError("has no column v_los or vz [km/s]", file=table.file)
    if "m_star" not in have:
        raise InputError("has no column m_star [Msun/h]", file=table.file)


def _table(
    file: Path | None, columns: Mapping[str, Quantity | Kind], h: float
) -> JoinedTable | None:
    if file is None:
        return None
    table = JoinedTable(file, columns, h=h, mass_unit="Msun/h")
    table.check_ids()
    return table


def _whole(parameters: Mapping[str, str], keys: Sequence[str], par: Path) -> int | None:
    for key in keys:
        if key in parameters:
            digits = re.search(r"(\d+)(\.0*)?$", parameters[key])
            if digits is None:
                what = f"{parameters[key]!r} is no number"
                raise InputError(what, file=par, field=key)
            return int(digits[1])
    return None


def _real(parameters: Mapping[str, str], key: str, par: Path) -> float | None:
    if key not in parameters:
        return None
    try:
        value = float(parameters[key])
    except ValueError:
        value = np.nan
    if not np.isfinite(value):
        what = f"{parameters[key]!r} is no number"
        raise InputError(what, file=par, field=key)
    return value
