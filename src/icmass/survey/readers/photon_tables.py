"""Tables of clusters and of galaxies that belong to photon lists, in the names that are about.

Names of columns are compared without case, spaces and underscores. Lengths are comoving and need a
unit where they are not in kpc/h, as Magneticum's: that of the column (ECSV, FITS) or at the end of
its name (``x_mpc_h``).
"""

from __future__ import annotations

import math
import os
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icmass.errors import InputError

if TYPE_CHECKING:
    from astropy.table import Column, Table

FORMATS = {".csv": "ascii.csv", ".ecsv": "ascii.ecsv", ".fits": "fits", ".fit": "fits"}
KINDS = "biufUS"
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
    "nh": Quantity(("nh", "nh1e20"), 0, 1000, "1e20 cm^-2"),
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

    Attributes
    ----------
    values : dict of str to ndarray, shape (row,)
        The columns found: lengths in comoving Mpc/h, NaN where a row has none.
    """

    def __init__(self, file: str | os.PathLike[str], columns: dict[str, Quantity]) -> None:
        self.file = Path(file)
        table = read_table(self.file)
        self.n_rows = len(table)
        self._names = {_plain(name): name for name in table.colnames}
        self._table = table
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
                "has no column of cluster ids", file=self.file, mend=f"name it one of {_ID}"
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
            mend = "add a column snapshot" if snapshot is not None else "leave one"
            what = f"has {len(rows)} rows of cluster {cluster}"
            raise InputError(what, file=self.file, mend=mend)
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
        return None if found is None else [str(text) for text in self._table[found[0]]]

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

    def _find(self, names: Sequence[str], is_length: bool = False) -> tuple[str, str] | None:
        """Return a column's name in the table and the unit that its name ends with."""
        for name in names:
            if name in self._names:
                return self._names[name], ""
        for plain, name in self._names.items():
            match = _SUFFIX.fullmatch(plain) if is_length else None
            if match and match[1] in names:
                return name, match[2]
        return None

    def _whole(self, names: Sequence[str]) -> np.ndarray | None:
        found = self._find(names)
        if found is None:
            return None
        column = self._table[found[0]]
        if column.dtype.kind in "US":
            digits = [re.sub(r"\D+", "", str(text)) or "-1" for text in column]
            return np.array(digits, dtype="i8")
        values = _plain_numbers(column, self.file)
        return np.where(np.isfinite(values), values, -1).astype("i8")

    def _numbers(self, name: str, suffix: str, quantity: Quantity) -> np.ndarray:
        column = self._table[name]
        values = _plain_numbers(column, self.file)
        unit = str(column.unit or "") or suffix
        if quantity.is_length:
            values = values * (1.0 if "mpc" in unit.lower() else 1e-3)
        elif unit and quantity.unit == "1e44 erg/s":
            values = values * _luminosity_factor(unit, self.file, name)
        known = values[np.isfinite(values)]
        if known.size and not quantity.low <= known.min() <= known.max() <= quantity.high:
            worst = known[np.argmax((known < quantity.low) | (known > quantity.high))]
            length = " (a unit or a name such as x_mpc_h says Mpc/h)" if quantity.is_length else ""
            raise InputError(
                f"has {worst * (1e3 if quantity.is_length else 1):g} {quantity.unit}",
                file=self.file,
                field=f"column {name}",
                mend=f"give {quantity.unit}{length}",
            )
        return values


def read_table(file: str | os.PathLike[str]) -> Table:
    """Read a CSV, ECSV or FITS table with columns of numbers and texts alone.

    Raises
    ------
    InputError
        If it is not there, of another kind, or damaged.
    """
    from astropy.table import Table

    path = Path(file)
    if not path.is_file():
        raise InputError("no such file", file=path, mend="give a CSV, ECSV or FITS table")
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"ends in {path.suffix!r}", file=path, mend=f"give {', '.join(FORMATS)}")
    options = {"comment": "#"} if kind == "ascii.csv" else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = Table.read(path, format=kind, **options)
    except Exception as error:  # astropy raises many kinds for a damaged table
        line = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"is no readable table: {line}", file=path) from None
    bad = [n for n in table.colnames if getattr(table[n], "dtype", np.dtype("O")).kind not in KINDS]
    table.remove_columns(bad)
    if not len(table):
        raise InputError("has no rows", file=path)
    return table


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "", name.lower())


def _plain_numbers(column: Column, file: Path) -> np.ndarray:
    """Return a column as float64, NaN where it is empty."""
    values = np.ma.filled(np.ma.asarray(column), np.nan if column.dtype.kind == "f" else 0)
    if values.dtype.kind in "US":
        values = np.char.strip(values.astype(str))
        values = np.where(np.isin(values, ["", "--", "nan", "N/A"]), "nan", values)
    try:
        numbers = values.astype("f8")
    except ValueError:
        raise InputError("holds no numbers", file=file, field=f"column {column.name}") from None
    if numbers.ndim != 1:
        raise InputError("holds arrays", file=file, field=f"column {column.name}")
    return np.where(np.ma.getmaskarray(np.ma.asarray(column)), np.nan, numbers)


def _luminosity_factor(unit: str, file: Path, name: str) -> float:
    from astropy import units as u

    try:
        return float(u.Unit(unit).to(1e44 * u.erg / u.s))
    except (ValueError, TypeError, u.UnitConversionError):
        raise InputError(
            f"has unit {unit!r}", file=file, field=f"column {name}", mend="give erg/s"
        ) from None
