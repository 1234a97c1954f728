"""Tables of clusters and of galaxies that belong to photon lists, in the names that are about.

Names of columns are compared without case, spaces and underscores. Masses and lengths are read as
in any table of halos (`icmass.io.halo_columns`): by the unit of the column or at the end of its
name (``m500c_msun``, ``x_mpc_h``). Lengths are comoving, in kpc/h where there is no unit; masses
without one are refused, but in tables of a simulation that has them in Msun/h. Any other quantity
is turned from the unit of its column, if it has one.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.files import no_file
from icmass.io.column_density import NH, column_density
from icmass.io.halo_columns import (
    KINDS,
    Kind,
    Named,
    check_range,
    find_quantity,
    length_kind,
    mass_kind,
    quantity_values,
)
from icmass.io.plugin_files import has_plugin
from icmass.io.sky_table import Columns, TableColumn, find_column, plain_name, read_columns
from icmass.plasma.absorption import MOST_NH_1E20

SUFFIXES = (".csv", ".tsv", ".ecsv", ".vot", ".xml", ".fits", ".fit", ".gz")
MAX_ROWS = 10**7
SAME_REDSHIFT = 0.003
"""Rows of a table without snapshots belong to a cluster whose redshift is so near."""

_ID = ("clusterid", "cluster", "ihal", "icluster", "cluid", "haloid", "id")
_SNAPSHOT = ("snapshot", "snapnum", "snap")
_REDSHIFT = ("redshift", "ztrue", "zcluster")


@dataclass(frozen=True)
class Quantity:
    """What a column may be: its names, least and largest value that make sense, and its unit."""

    names: tuple[str, ...]
    low: float
    high: float
    unit: str


CLUSTER_COLUMNS: dict[str, Quantity | Kind] = {
    **{name: KINDS[name] for name in ("m500c", "M_gas", "M_star")},
    "r500c": length_kind("r500c", "r500", "csvr500c", low=0.05, high=10),
    "x": length_kind("x", "posx", "csvx"),
    "y": length_kind("y", "posy", "csvy"),
    "z": length_kind("z", "posz", "csvz"),
    "vz": Quantity(("vz", "velz", "csvvz"), -3e4, 3e4, "km/s"),
    "T": Quantity(("t", "t500", "t500c", "tkev"), 0.01, 100, "keV"),
    "L_X": Quantity(("lx", "lx500", "lx500c", "lbol"), 1e-8, 1e6, "1e44 erg/s"),
    "L_X_soft": Quantity(("lxsoft", "lxsoft500"), 1e-8, 1e6, "1e44 erg/s"),
    "sigma_v_true": Quantity(("sigmavtrue", "sigmav3d", "sigmatrue"), 1, 1e4, "km/s"),
    "redshift": Quantity(_REDSHIFT, -np.inf, 20, "1"),
    "ra": Quantity(("ra",), -360, 720, "deg"),
    "dec": Quantity(("dec",), -90, 90, "deg"),
    "area": Quantity(("area", "areacm2"), 1e-3, 1e12, "cm^2"),
    "time": Quantity(("time", "times", "exposure"), 1e-3, 1e12, "s"),
    "nh": Quantity(tuple(map(plain_name, NH)), 0, MOST_NH_1E20, "1e20 cm^-2"),
}
"""Columns of a table of clusters; a redshift of 0 or less is nobody's."""

GALAXY_COLUMNS: dict[str, Quantity | Kind] = {
    **{name: CLUSTER_COLUMNS[name] for name in ("x", "y", "z", "vz")},
    "dx": length_kind("dx", "offsetx", "xoffset", low=-1e3, high=1e3),
    "dy": length_kind("dy", "offsety", "yoffset", low=-1e3, high=1e3),
    "v_los": Quantity(("vlos", "galaxyv"), -3e5, 3e5, "km/s"),
    "m_star": mass_kind("mstar", "stellarmass", low=0, high=1e15),
}
"""Columns of a table of galaxies."""


class JoinedTable:
    """A table whose rows belong to clusters.

    Parameters
    ----------
    file : path
        CSV, ECSV or FITS.
    columns : dict of str to Quantity or Kind
        What to look for; what is not there is left out.
    h : float, optional
        Hubble constant over 100 km/s/Mpc of columns whose unit has no ``/h``; None: they are
        refused.
    mass_unit : str
        Unit of masses that have none, as the simulation has them; empty: such are refused.

    Attributes
    ----------
    values : dict of str to ndarray, shape (row,)
        The columns found: lengths in comoving Mpc/h, NaN where a row has none.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        columns: Mapping[str, Quantity | Kind],
        *,
        h: float | None = None,
        mass_unit: str = "",
    ) -> None:
        self.file = Path(file)
        self._columns = read_table(self.file)
        self._h = h
        self._default_units = {"Msun/h": mass_unit, "Mpc/h": "kpc/h"}
        self.n_rows = len(next(iter(self._columns.values())).values)
        self.values = {}
        for name, quantity in columns.items():
            if (found := self._values_of(quantity)) is not None:
                self.values[name] = found
        self._redshift = self.values.get("redshift")
        if self._redshift is None:
            self._redshift = self._values_of(CLUSTER_COLUMNS["redshift"])
        self._has_snapshots = find_column(self._columns, _SNAPSHOT) is not None
        self._rows = self._index()

    def check_ids(self) -> None:
        """Refuse a table without the ids of clusters, which others are joined by."""
        if not self._rows:
            raise InputError(
                "has no column of cluster ids", file=self.file, hint=f"name it one of {_ID}"
            )

    def rows(self, cluster: int, snapshot: int | None, redshift: float) -> np.ndarray:
        """Return the numbers of the rows of a cluster, by snapshot or else by redshift."""
        key = (cluster, snapshot if self._has_snapshots else None)
        rows = self._rows.get(key, np.zeros(0, int))
        if self._has_snapshots or self._redshift is None:
            return rows
        return rows[np.abs(self._redshift[rows] - redshift) < SAME_REDSHIFT]

    def one(self, cluster: int, snapshot: int | None, redshift: float) -> dict[str, float]:
        """Return the finite values of the one row of a cluster; empty where it has none."""
        rows = self.rows(cluster, snapshot, redshift)
        if len(rows) > 1:
            hint = "add a column snapshot" if snapshot is not None else "leave one"
            what = f"has {len(rows)} rows of cluster {cluster}"
            raise InputError(what, file=self.file, hint=hint)
        return self.row(int(rows[0])) if len(rows) else {}

    def row(self, i: int) -> dict[str, float]:
        """Return the finite values of a row."""
        found = {name: float(values[i]) for name, values in self.values.items()}
        return {name: value for name, value in found.items() if math.isfinite(value)}

    def identity(self, i: int) -> tuple[int | None, int | None]:
        """Return cluster id and snapshot of a row, as far as the table has them."""
        ids, snapshots = self._whole(_ID), self._whole(_SNAPSHOT)
        return (
            None if ids is None else int(ids[i]),
            None if snapshots is None else int(snapshots[i]),
        )

    def texts(self, names: Sequence[str]) -> list[str] | None:
        """Return a column of texts, by the first of the names that is there."""
        found = find_column(self._columns, names)
        return None if found is None else [str(text) for text in found.values]

    def _index(self) -> dict[tuple[int, int | None], np.ndarray]:
        ids, snapshots = self._whole(_ID), self._whole(_SNAPSHOT)
        if ids is None:
            return {}
        whole = np.stack([ids, np.zeros_like(ids) if snapshots is None else snapshots])
        order = np.lexsort(whole)
        whole = whole[:, order]
        starts = np.flatnonzero(np.any(np.diff(whole, axis=1, prepend=whole[:, :1] - 1), axis=0))
        parts = np.split(order, starts[1:])
        return {
            (int(ids[part[0]]), None if snapshots is None else int(snapshots[part[0]])): part
            for part in parts
            if len(part)
        }

    def _whole(self, names: Sequence[str]) -> np.ndarray | None:
        found = find_column(self._columns, names)
        if found is None:
            return None
        values = found.values
        if values.dtype.kind in "US":
            digits = [re.sub(r"\D+", "", str(text)) or "-1" for text in values]
            return np.array(digits, dtype="i8")
        return np.where(np.isfinite(values), values, -1).astype("i8")

    def _values_of(self, quantity: Quantity | Kind) -> np.ndarray | None:
        if isinstance(quantity, Kind):
            named = find_quantity(self._columns, quantity)
            return None if named is None else self._of_halos(named, quantity)
        column = find_column(self._columns, quantity.names)
        return None if column is None else self._numbers(column, quantity)

    def _of_halos(self, named: Named, kind: Kind) -> np.ndarray:
        default_unit = self._default_units[kind.unit]
        values = quantity_values(named, kind, self._h, default_unit=default_unit)
        check_range(named, kind, values)
        return values

    def _numbers(self, column: TableColumn, quantity: Quantity) -> np.ndarray:
        if "nh" in quantity.names:
            values = column_density(column)
        elif quantity.unit == "deg":
            values = column.angles(hours="ra" in quantity.names)
        else:
            values = column.numbers(quantity.unit, h=self._h)
        known = values[np.isfinite(values)]
        if known.size and not quantity.low <= known.min() <= known.max() <= quantity.high:
            worst = known[np.argmax((known < quantity.low) | (known > quantity.high))]
            raise InputError(
                f"has {worst:g} {quantity.unit}",
                file=self.file,
                field=f"column {column.name}",
                hint=f"give {quantity.unit}",
            )
        return values


def read_table(file: str | os.PathLike[str]) -> Columns:
    """Read a CSV, ECSV, VOTable or FITS table with columns of numbers and texts alone.

    Raises
    ------
    InputError
        If it is not there, of another kind, or damaged.
    """
    path = Path(file)
    if not path.is_file():
        raise no_file(path, "give a CSV, ECSV or FITS table")
    if path.suffix.lower() not in SUFFIXES and not has_plugin(path):
        raise InputError(f"ends in {path.suffix!r}", file=path, hint=f"give {', '.join(SUFFIXES)}")
    columns = read_columns(path, max_rows=MAX_ROWS)
    if not columns or not len(next(iter(columns.values())).values):
        raise InputError("has no rows", file=path)
    return columns
