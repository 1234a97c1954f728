"""Tables of weak-lensing masses as people have them: FITS, ECSV, CSV or VOTable."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from icmass.calibration.mass_definition import CONCENTRATIONS, m500c_of_m200c
from icmass.cosmology import Cosmology
from icmass.errors import InputError
from icmass.io.cluster_table import NAME, REDSHIFT
from icmass.io.halo_columns import (
    KINDS,
    Kind,
    Named,
    check_range,
    find_quantity,
    mass_kind,
    quantity_values,
)
from icmass.io.memory_table import Tabular, label_of
from icmass.io.sky_table import (
    Columns,
    TableColumn,
    choice_of,
    column_of,
    find_column,
    listed,
    plain_name,
    read_columns,
)

CLUSTER = ("CLUSTER", "INDEX", *(name for name in NAME if name != "CLUSTER"))
LN_ERROR = ("LN_ERROR", "LN_M_ERROR", "LNM_ERROR", "LN_ERR", "SIGMA_LN_M", "SIGMA_LNM", "LN_M_ERR")
MAX_CLUSTERS = 100_000
MIN_ERROR, MAX_ERROR = 1e-3, 3.0
"""Errors of ln M outside of these are no errors of lensing masses."""
_M200C = mass_kind("m200c", "m200", "m200crit", "mcrit200", low=KINDS["m500c"].low)
_MASSES = {"m500c": KINDS["m500c"], "m200c": _M200C}
_UP = ("up", "errup", "errorup", "eup", "uperr", "uppererror", "errhi", "errhigh", "errplus", "hi",
       "errorplus", "plus", "erru", "upper")  # fmt: skip
_DOWN = ("down", "errdown", "errordown", "edown", "lowerr", "lowererror", "errlo", "errlow",
         "errminus", "lo", "errorminus", "minus", "errl", "lower", "errd")  # fmt: skip
_BOTH = ("err", "error", "sigma", "e", "unc", "uncertainty", "std")
_HINT = "give one of m500c_msun_h, m500c_msun, m200c_msun_h, m200c_msun (or log10_... of one)"


@dataclass(frozen=True)
class LensingMasses:
    """Weak-lensing masses of n clusters.

    Attributes
    ----------
    cluster : tuple of str
        What the table calls them: indices, ids or names.
    row : ndarray of int, shape (n,)
        Their rows in the table, from 1.
    redshift : ndarray, shape (n,)
    ln_mass : ndarray, shape (n,)
        ln(M500c / (Msun/h)).
    ln_error : ndarray, shape (n,)
        Standard error of ln M.
    file : path or str
        Of the table, or what it is called in memory.
    about : str
        In words: which column, how its definition and its unit were changed.
    """

    cluster: tuple[str, ...]
    row: np.ndarray
    redshift: np.ndarray
    ln_mass: np.ndarray
    ln_error: np.ndarray
    file: Path | str
    about: str

    def __len__(self) -> int:
        return len(self.cluster)

    def match(
        self, names: Sequence[str], redshift: np.ndarray, *, tolerance: float = 0.02
    ) -> np.ndarray:
        """Return which cluster of a survey each of these is, integer (n,).

        Parameters
        ----------
        names : sequence of str
            What the survey's clusters are called; empty if they have indices alone.
        redshift : ndarray, shape (clusters,)
            Theirs.
        tolerance : float
            Largest difference of the redshifts, over 1 + z.

        Raises
        ------
        InputError
            If a cluster is not there, twice, or at another redshift.
        """
        known = {_spelled(name): i for i, name in reversed(list(enumerate(names)))}
        found = np.empty(len(self), int)
        for k, label in enumerate(self.cluster):
            found[k] = self._found(k, label, known, len(redshift))
            z, wanted = redshift[found[k]], self.redshift[k]
            if abs(z - wanted) > tolerance * (1 + z):
                what = f"cluster {label} has redshift {wanted:g}, in the survey {z:g}"
                hint = "look whether it is the same cluster"
                raise InputError(what, file=self.file, field=self._place(k), hint=hint)
        first = {int(i): k for k, i in reversed(list(enumerate(found)))}
        for k, i in enumerate(found):
            if first[int(i)] != k:
                what = f"cluster {self.cluster[k]} is in row {self.row[first[int(i)]]} already"
                hint = "leave one of them out"
                raise InputError(what, file=self.file, field=self._place(k), hint=hint)
        return found

    def _found(self, k: int, label: str, known: dict[str, int], n: int) -> int:
        if (i := known.get(_spelled(label))) is not None:
            return i
        if re.fullmatch(r"\d+", label) and int(label) < n:
            return int(label)
        have = f"it has the clusters 0 to {n - 1}"
        if known:
            have += f", called {', '.join(list(known)[::-1][:3])}, ..."
        what = f"cluster {label} is not in the survey"
        raise InputError(what, file=self.file, field=self._place(k), hint=have)

    def _place(self, k: int) -> str:
        return f"row {self.row[k]}"


def _spelled(name: str) -> str:
    return " ".join(str(name).split()).lower()


def read_lensing_table(
    table: Tabular, cosmology: Cosmology, *, concentration: str = "diemer19"
) -> LensingMasses:
    """Read weak-lensing masses.

    Parameters
    ----------
    table : path or TableLike
        FITS, ECSV, CSV or VOTable, or a table in memory: `CLUSTER` (index, id or name), a redshift,
        one of ``m500c_msun_h``, ``m500c_msun``, ``m200c_msun_h``, ``m200c_msun`` (with ``log10_``
        before it, a power of ten in it as ``m500c_1e14_msun``, or a unit in its place), and
        ``ln_error``, or errors up and down in the unit of the mass. Rows without a mass are left
        out.
    cosmology : Cosmology
        That the masses were measured in: its ``h`` turns Msun into Msun/h, and its critical density
        is that of the masses.
    concentration : {"diemer19", "duffy08"}
        Concentrations by which M200c becomes M500c.

    Raises
    ------
    InputError
        If the table cannot be read or lacks a column, or a row makes no sense.
    """
    file = label_of(table)
    columns = read_columns(table, None, (CLUSTER, REDSHIFT), max_rows=MAX_CLUSTERS)
    labels = column_of(columns, CLUSTER, file).labels()
    of_z = column_of(columns, REDSHIFT, file)
    definition, named = _mass_column(columns, file)
    kind = _MASSES[definition]
    mass = quantity_values(named, kind, cosmology.h)
    used = np.flatnonzero(np.isfinite(mass))
    if not len(used):
        raise InputError("holds no mass", file=file, field=f"column {named.column.name}")
    check_range(named, kind, mass)
    redshift = of_z.numbers()
    wrong = ~((redshift[used] > 0) & (redshift[used] < 10))
    _refuse(wrong, used, redshift, file, of_z.name, "a redshift within 0 and 10")
    error = _ln_errors(columns, named, kind, mass, cosmology.h, file)
    wrong = ~((error[used] >= MIN_ERROR) & (error[used] <= MAX_ERROR))
    hint = f"an error of ln M within {MIN_ERROR:g} and {MAX_ERROR:g}"
    _refuse(wrong, used, error, file, "error of ln M", hint)
    for i in used:
        if not labels[i]:
            raise InputError("has no cluster", file=file, field=f"row {i + 1}", hint="name it")
    mass, redshift, error = mass[used], redshift[used], error[used]
    about = f"column {named.column.name}, Msun/h by h = {cosmology.h:g}"
    if choice := choice_of(columns, REDSHIFT):
        about += f", redshift of {choice}"
    if definition == "m200c":
        mass = m500c_of_m200c(mass, redshift, cosmology, concentration)
        about += f", M200c to M500c with NFW and concentrations of {CONCENTRATIONS[concentration]}"
        about += f" (Om = {cosmology.om0:g})"
    cluster = tuple(labels[i] for i in used)
    return LensingMasses(cluster, used + 1, redshift, np.log(mass), error, file, about)


def _mass_column(columns: Columns, file: Path | str) -> tuple[str, Named]:
    """Return the definition and the column of the mass: M500c where there are both."""
    for definition, kind in _MASSES.items():
        if (named := find_quantity(columns, kind)) is not None:
            return definition, named
    hint = f"{_HINT}; it has {listed(columns.names)}"
    raise InputError("has no column of a mass", file=file, hint=hint)


def _refuse(
    wrong: np.ndarray, rows: np.ndarray, values: np.ndarray, file: Path | str, name: str, hint: str
) -> None:
    """Refuse the first row that is wrong."""
    if wrong.any():
        row = int(rows[wrong][0])
        where = f"row {row + 1}, {name}"
        raise InputError(f"is {values[row]:g}", file=file, field=where, hint=f"give {hint}")


def _ln_errors(
    columns: Columns, named: Named, kind: Kind, mass: np.ndarray, h: float, file: Path | str
) -> np.ndarray:
    """Return errors of ln M, shape (rows,)."""
    if (column := find_column(columns, LN_ERROR)) is not None:
        return column.numbers()
    up, down = (_error_column(columns, named, ends) for ends in (_UP, _DOWN))
    if up is None or down is None:
        up = down = _error_column(columns, named, _BOTH)
    if up is None or down is None:
        have = listed(columns.names)
        hint = f"give ln_error, or {named.column.name}_err_up and {named.column.name}_err_down"
        raise InputError("has no column of errors", file=file, hint=f"{hint}; it has {have}")
    if named.is_log:
        result: np.ndarray = (
            np.log(10) * (np.abs(up.plain_numbers()) + np.abs(down.plain_numbers())) / 2
        )
        return result
    high, low = (np.abs(_in_unit_of(named, kind, column, h)) for column in (up, down))
    used = np.flatnonzero(np.isfinite(mass))
    hint = "errors below the mass itself: those of ln M cannot be told; give ln_error"
    wrong = ~(low[used] < mass[used])
    _refuse(wrong, used, down.plain_numbers(), file, down.name, hint)
    with np.errstate(invalid="ignore", divide="ignore"):
        result = np.log((mass + high) / (mass - low)) / 2
        return result


def _error_column(columns: Columns, named: Named, ends: Sequence[str]) -> TableColumn | None:
    """Return the column whose name is that of the mass, or none, with one of some ends."""
    whole = plain_name(named.column.name)
    short = re.match(r"(?:log10|log|lg)?(m\d+c?)", whole)
    stems = [whole, *([short[1]] if short else []), "mass", ""]
    names = [name for stem in stems for end in ends for name in (stem + end, end + stem)]
    return find_column(columns, [name for name in names if name != whole and len(name) > 1])


def _in_unit_of(named: Named, kind: Kind, column: TableColumn, h: float) -> np.ndarray:
    """Return errors in the unit of the mass, unless their column has a unit of its own."""
    own = column.unit.strip()
    like = TableColumn(column.name, column.values, own or named.column.unit, column.file)
    says_unit = not own or plain_name(named.column.name) in plain_name(column.name)
    error = Named(like, False, named.factor, named.unit if says_unit else "")
    return quantity_values(error, kind, h)
