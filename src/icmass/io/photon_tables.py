"""Tables of clusters and of galaxies that belong to photon lists, in the names that are about.

Names of columns are compared without case, spaces and underscores. Lengths are comoving and need a
unit where they are not in kpc/h, as Magneticum's: that of the column (ECSV, FITS) or at the end of
its name (``x_mpc_h``). Any other quantity is turned from the unit of its column, if it has one.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icmass.errors import InputError
from icmass.io.column_density import NH, column_density
from icmass.io.plugin_files import has_plugin
from icmass.io.sky_table import Columns, TableColumn, plain_name, read_columns

SUFFIXES = (".csv", ".tsv", ".ecsv", ".vot", ".xml", ".fits", ".fit", ".gz")
MAX_ROWS = 10**7
SAME_REDSHIFT = 0.003
"""Rows of a table without snapshots belong to a cluster whose redshift is so near."""

_SUFFIX = re.compile(r"(.*?)(c?[mk]pch?)")
_ID = ("clusterid", "cluster", "ihal", "icluster", "cluid", "haloid", "id")
_SNAPSHOT = ("snapshot", "snapnum", "snap")
_REDSHIFT = ("redshift", "ztrue", "zcluster")


@dataclass(frozen=True)
class Quantity:
    """What a column may be: its names, least and largest value that make sense, and its unit.

    Limits of lengths are in comoving Mpc/h, to which they are turned.
    """

    names: tuple[str, ...]
    low: float
    high: float
    unit: str
    is_length: bool = False


CLUSTER_COLUMNS = {
    "m500c": Quantity(("m500c", "m500", "csvm500c"), 1e11, 1e17, "Msun/h"),
    "r500c": Quantity(("r500c", "r500", "csvr500c"), 0.05, 10, "comoving kpc/h", True),
    "x": Quantity(("x", "posx", "csvx"), -1e5, 1e5, "comoving kpc/h", True),
    "y": Quantity(("y", "posy", "csvy"), -1e5, 1e5, "comoving kpc/h", True),
    "z": Quantity(("z", "posz", "csvz"), -1e5, 1e5, "comoving kpc/h", True),
    "vz": Quantity(("vz", "velz", "csvvz"), -3e4, 3e4, "km/s"),
    "T": Quantity(("t", "t500", "t500c", "tkev"), 0.01, 100, "keV"),
    "L_X": Quantity(("lx", "lx500", "lx500c", "lbol"), 1e-8, 1e6, "1e44 erg/s"),
    "L_X_soft": Quantity(("lxsoft", "lxsoft500"), 1e-8, 1e6, "1e44 erg/s"),
    "M_gas": Quantity(("mgas", "mgas500", "mgas500c"), 1e8, 1e17, "Msun/h"),
    "M_star": Quantity(("mstar", "mstar500", "mstar500c"), 1e7, 1e17, "Msun/h"),
    "sigma_v_true": Quantity(("sigmavtrue", "sigmav3d", "sigmatrue"), 1, 1e4, "km/s"),
    "redshift": Quantity(_REDSHIFT, 0, 20, "1"),
    "ra": Quantity(("ra",), -360, 720, "deg"),
    "dec": Quantity(("dec",), -90, 90, "deg"),
    "area": Quantity(("area", "areacm2"), 1e-3, 1e12, "cm^2"),
    "time": Quantity(("time", "times", "exposure"), 1e-3, 1e12, "s"),
    "nh": Quantity(tuple(map(plain_name, NH)), 0, 3000, "1e20 cm^-2"),
}
"""Columns of a table of clusters, the lengths in kpc/h (comoving) unless a unit says otherwise."""

GALAXY_COLUMNS = {
    **{name: CLUSTER_COLUMNS[name] for name in ("x", "y", "z", "vz")},
    "dx": Quantity(("dx", "offsetx", "xoffset"), -1e3, 1e3, "comoving kpc/h", True),
    "dy": Quantity(("dy", "offsety", "yoffset"), -1e3, 1e3, "comoving kpc/h", True),
    "v_los": Quantity(("vlos", "galaxyv"), -3e5, 3e5, "km/s"),
    "m_star": Quantity(("mstar", "stellarmass"), 0, 1e15, "Msun/h"),
}
"""Columns of a table of galaxies."""


class JoinedTable:
    """A table whose rows belong to clusters.

    Parameters
    ----------
    file : path
        CSV, ECSV or FITS.
    columns : dict of str to Quantity
        What to look for; what is not there is left out.
    h : float, optional
        Hubble constant over 100 km/s/Mpc of columns whose unit has no ``/h``; None: they are
        refused.

    Attributes
    ----------
    values : dict of str to ndarray, shape (row,)
        The columns found: lengths in comoving Mpc/h, NaN where a row has none.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        columns: dict[str, Quantity],
        *,
        h: float | None = None,
    ) -> None:
        self.file = Path(file)
        self._columns = read_table(self.file)
        self._h = h
        self.n_rows = len(next(iter(self._columns.values())).values)
        self.values = {}
        for name, quantity in columns.items():
            found = self._find(quantity.names, quantity.is_length)
            if found is not None:
                self.values[name] = self._numbers(*found, quantity)
        self._redshift = self.values.get("redshift")
        if self._redshift is None and (name_z := self._find(_REDSHIFT)) is not None:
            self._redshift = self._numbers(*name_z, CLUSTER_COLUMNS["redshift"])
        self._has_snapshots = self._find(_SNAPSHOT) is not None
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
        found = self._find(tuple(names))
        return None if found is None else [str(text) for text in found[0].values]

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

    def _find(
        self, names: Sequence[str], is_length: bool = False
    ) -> tuple[TableColumn, str] | None:
        """Return a column and the unit that its name ends with."""
        for name in names:
            if name in self._columns:
                return self._columns[name], ""
        for plain, column in self._columns.items():
            match = _SUFFIX.fullmatch(plain) if is_length else None
            if match and match[1] in names:
                return column, match[2]
        return None

    def _whole(self, names: Sequence[str]) -> np.ndarray | None:
        found = self._find(names)
        if found is None:
            return None
        values = found[0].values
        if values.dtype.kind in "US":
            digits = [re.sub(r"\D+", "", str(text)) or "-1" for text in values]
            return np.array(digits, dtype="i8")
        return np.where(np.isfinite(values), values, -1).astype("i8")

    def _numbers(self, column: TableColumn, suffix: str, quantity: Quantity) -> np.ndarray:
        unit = quantity.unit
        if quantity.is_length and suffix and plain_name(column.unit) in ("", "1"):
            scale = 1.0 if "mpc" in suffix else 1e-3
            values = column.plain_numbers() * scale
        elif "nh" in quantity.names:
            values = column_density(column)
        elif unit == "deg":
            values = column.angles(hours="ra" in quantity.names)
        else:
            values = column.numbers(unit, h=self._h) * (1e-3 if quantity.is_length else 1.0)
        if quantity.names == _REDSHIFT:
            values = np.where(values > 0, values, np.nan)  # -1 and -99 stand for nothing known
        known = values[np.isfinite(values)]
        if known.size and not quantity.low <= known.min() <= known.max() <= quantity.high:
            worst = known[np.argmax((known < quantity.low) | (known > quantity.high))]
            length = " (a unit or a name such as x_mpc_h says Mpc/h)" if quantity.is_length else ""
            raise InputError(
                f"has {worst * (1e3 if quantity.is_length else 1):g} {quantity.unit}",
                file=self.file,
                field=f"column {column.name}",
                hint=f"give {quantity.unit}{length}",
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
        raise InputError("no such file", file=path, hint="give a CSV, ECSV or FITS table")
    if path.suffix.lower() not in SUFFIXES and not has_plugin(path):
        raise InputError(f"ends in {path.suffix!r}", file=path, hint=f"give {', '.join(SUFFIXES)}")
    columns = read_columns(path, max_rows=MAX_ROWS)
    if not columns or not len(next(iter(columns.values())).values):
        raise InputError("has no rows", file=path)
    return columns
