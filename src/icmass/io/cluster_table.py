"""A table of clusters to look at: where, at what redshift, behind how much gas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from icmass.errors import InputError
from icmass.io.column_density import NH, column_density
from icmass.io.memory_table import Tabular, label_of
from icmass.io.sky_table import (
    DEC,
    RA,
    Columns,
    choice_of,
    column_of,
    distinct_labels,
    find_column,
    read_columns,
)
from icmass.io.target import Target
from icmass.plasma.absorption import DEFAULT_NH_1E20

REDSHIFT: tuple[str, ...] = (
    "BEST_Z",
    "REDSHIFT",
    "Z_BEST",
    "Z_BEST_COMB",
    "Z",
    "Z_SPEC",
    "SPEC_Z",
    "Z_CLUSTER",
    "Z_CL",
    "Z_LAMBDA",
    "Z_PHOT",
    "PHOTO_Z",
)
NAME = (
    "ID",
    "NAME",
    "DETUID",
    "ID_SRC",
    "UID",
    "CLUSTER",
    "CLUSTER_ID",
    "CLUSTER_NAME",
    "SRC_ID",
    "SOURCE_ID",
    "SRC_NAME",
    "SOURCE_NAME",
    "IAUNAME",
    "OBJ_ID",
    "OBJECT",
    "ID_CLUSTER",
)
NAMES = {"ra": RA, "dec": DEC, "redshift": REDSHIFT, "name": NAME, "nh": NH}
"""Names of the columns, the first that is there, compared as `sky_table.plain_name` does."""
MAX_CLUSTERS = 1_000_000


def read_cluster_table(
    table: Tabular,
    *,
    nh: float = DEFAULT_NH_1E20,
    notes: Callable[[str], None] | None = None,
) -> list[Target]:
    """Read clusters from a table.

    Parameters
    ----------
    table : path or TableLike
        FITS, ECSV, CSV or VOTable, or a table in memory, with a position and a redshift, see
        `NAMES`; angles in any unit, degrees where there is none, or as texts such as ``10:00:24``
        and ``+02:12:36``.
    nh : float
        Galactic column density of clusters whose table has none [1e20 cm^-2]; see
        `column_density.column_density` for the unit of a table's.
    notes : callable, optional
        Called with a line on which column of redshifts is taken where several would do.

    Returns
    -------
    list of Target
        One for each row, whatever its values; impossible ones are refused later, one by one.

    Raises
    ------
    InputError
        If the table cannot be read, is empty or lacks a column, or a unit makes no sense.
    """
    file = label_of(table)
    wanted = [name for names in NAMES.values() for name in names]
    columns = read_columns(table, wanted, (RA, DEC, REDSHIFT))
    ra = column_of(columns, RA, file).angles(hours=True)
    dec = column_of(columns, DEC, file).angles(hours=False)
    redshift = column_of(columns, REDSHIFT, file).numbers()
    if (choice := choice_of(columns, REDSHIFT)) and notes is not None:
        notes(f"{file}: redshift is {choice}")
    n = len(ra)
    if not 0 < n <= MAX_CLUSTERS:
        what = "has no row" if not n else f"has {n} rows, more than {MAX_CLUSTERS}"
        raise InputError(what, file=file, field="--table")
    of_nh = find_column(columns, NH)
    nhs = np.full(n, np.nan) if of_nh is None else column_density(of_nh)
    known = np.isfinite(nhs)
    rows = zip(_labels(columns, n), ra, dec, redshift, np.where(known, nhs, nh), known, strict=True)
    return [
        Target(name, float(a), float(d), float(z), float(h), nh_is_known=bool(k))
        for name, a, d, z, h, k in rows
    ]


def _labels(columns: Columns, n: int) -> list[str]:
    """Return what to call the clusters: one line each, none of them twice."""
    column = find_column(columns, NAME)
    names = [str(row) for row in range(n)] if column is None else column.labels()
    return distinct_labels(names)
