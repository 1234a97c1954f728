"""Clusters to be made of SIMPUT files: one file, or a table that names them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.io.photon_tables import CLUSTER_COLUMNS, JoinedTable
from icmass.survey.observed.photon_survey import OPTIONAL, PhotonListTarget

FILE_COLUMNS = ("file", "phlist", "simput", "filename")


def target_of_file(file: Path, known: Mapping[str, float]) -> list[PhotonListTarget]:
    """Return the one cluster of a file.

    Parameters
    ----------
    file : path
        A SIMPUT catalogue or photon list.
    known : mapping
        What goes before the file's headers: ``ra``, ``dec`` [deg], ``redshift``, ``area`` [cm^2],
        ``time`` [s], ``nh`` [1e20 cm^-2].
    """
    return [_target(file, known, number=0, values={})]


def targets_of_table(
    file: Path, known: Mapping[str, float], *, h: float | None = None
) -> tuple[list[PhotonListTarget], list[tuple[str, InputError]]]:
    """Return the clusters that a table names, a row each; `known` holds where a row says nothing.

    Returns
    -------
    targets : list of PhotonListTarget
    failures : list of (str, InputError)
        Rows whose redshift is 0 or less.

    Raises
    ------
    InputError
        If the table has no column of files, or a file is outside the table's folder.
    """
    table = JoinedTable(file, CLUSTER_COLUMNS, h=h)
    names = table.texts(FILE_COLUMNS)
    if names is None:
        raise InputError("has no column file", file=file, hint="name the photon lists in it")
    targets, failures = [], []
    for i, name in enumerate(names):
        parts = {*PurePosixPath(name).parts, *PureWindowsPath(name).parts}
        if ".." in parts or PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor:
            hint = "put the lists into its folder or below"
            raise InputError(f"{name!r} leaves the table's folder", file=file, hint=hint)
        row = table.row(i)
        if row.get("redshift", 1.0) <= 0:
            what, hint = f"is {row['redshift']:g}", "leave it empty where that of the list is meant"
            error = InputError(what, file=file, field=f"row {i + 1}, redshift", hint=hint)
            failures.append((f"row {i + 1}, {name}", error))
            continue
        cluster, snapshot = table.identity(i)
        values: dict[str, Any] = {"halo_id": i if cluster is None else cluster}
        values |= {} if snapshot is None else {"snapshot": snapshot}
        if {"x", "y", "z"} <= set(row):
            values["position"] = np.array([row["x"], row["y"], row["z"]])
        values |= {n: row[n] for n in ("m500c", "r500c", *OPTIONAL) if n in row}
        targets.append(_target(file.parent / name, {**known, **row}, number=i, values=values))
    return targets, failures


def _target(
    file: Path, known: Mapping[str, float], *, number: int, values: Mapping[str, Any]
) -> PhotonListTarget:
    if ("ra" in known) != ("dec" in known):
        raise InputError("give both or none", field="--ra, --dec")
    for name, unit in (("area", "cm^2"), ("time", "s")):
        if name in known and not known[name] > 0:
            raise InputError(f"is {known[name]:g}", field=f"--{name}", hint=f"give {unit}")
    return PhotonListTarget(
        label=f"row {number + 1}, {file.name}",
        key=(number,),
        lists={"observed": file},
        redshift=known.get("redshift"),
        centre=(known["ra"], known["dec"]) if "ra" in known else None,
        area_cm2=known.get("area"),
        time_s=known.get("time"),
        nh=known.get("nh"),
        values=values,
    )
