"""A table of clusters to look at: where, at what redshift, behind how much gas."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.survey.readers.observed import Target
from icmass.survey.readers.sky_table import Columns, numbers, read_columns

NAMES = {
    "ra": ("RA", "RA_CORR", "RAJ2000", "RA_ICRS", "RA_DEG"),
    "dec": ("DEC", "DEC_CORR", "DEJ2000", "DE_ICRS", "DEC_DEG"),
    "redshift": ("Z", "REDSHIFT", "BEST_Z", "Z_SPEC", "ZBEST"),
    "name": ("ID", "NAME", "DETUID", "ID_SRC", "UID", "CLUSTER"),
    "nh": ("NH", "NH_1E20"),
}
"""Names of the columns, the first that is there; capitals or not."""
MAX_CLUSTERS = 1_000_000


def read_cluster_table(file: str | Path, *, nh: float = 3.5) -> list[Target]:
    """Read clusters from a table.

    Parameters
    ----------
    file : path
        FITS, ECSV, CSV or VOTable with a position [deg] and a redshift, see `NAMES`.
    nh : float
        Galactic column density of clusters whose table has none [1e20 cm^-2]; values above 1e15 are
        taken for cm^-2.

    Returns
    -------
    list of Target
        One for each row, whatever its values; impossible ones are refused later, one by one.

    Raises
    ------
    InputError
        If the file cannot be read, is empty or lacks a column.
    """
    columns = read_columns(file, (), [name for names in NAMES.values() for name in names])
    place = {key: _column(columns, key, file) for key in ("ra", "dec", "redshift")}
    n = len(place["ra"])
    if not 0 < n <= MAX_CLUSTERS:
        what = "has no row" if not n else f"has {n} rows, more than {MAX_CLUSTERS}"
        raise InputError(what, file=file, field="--table")
    names = _found(columns, "name")
    of_nh = _found(columns, "nh")
    nhs = np.full(n, nh) if of_nh is None else numbers(columns, of_nh, file)
    nhs = np.where(nhs > 1e15, nhs / 1e20, np.where(np.isfinite(nhs), nhs, nh))
    labels = _labels(columns[names] if names is not None else np.arange(n))
    rows = zip(labels, place["ra"], place["dec"], place["redshift"], nhs, strict=True)
    return [Target(name, float(a), float(d), float(z), float(h)) for name, a, d, z, h in rows]


def _labels(names: np.ndarray) -> list[str]:
    """Return what to call the clusters: one line each, none of them twice."""
    labels: list[str] = []
    seen: set[str] = set()
    for row, name in enumerate(names):
        label = " ".join(str(name).split())[:200] or f"row {row}"
        labels.append(label if label not in seen else f"{label} (row {row})")
        seen.add(label)
    return labels


def _found(columns: Columns, key: str) -> str | None:
    return next((name for name in NAMES[key] if name in columns), None)


def _column(columns: Columns, key: str, file: str | Path) -> np.ndarray:
    name = _found(columns, key)
    if name is None:
        have = ", ".join(list(columns)[:30])
        raise InputError(
            f"has no column {' or '.join(NAMES[key][:2])}",
            file=file,
            field="--table",
            mend=f"it has {have}",
        )
    return numbers(columns, name, file)
