"""Columns of tables of halos: quantity, logarithm, factor and unit by name or by unit.

``m500c_1e14_msun_h``, ``log10_m500c_msun``, ``M500c`` with the unit Msun/h, ``x_kpc_h``, ``t_kev``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from icmass.errors import InputError
from icmass.io.cluster_table import REDSHIFT
from icmass.io.sky_table import Columns, TableColumn, plain_name
from icmass.io.units import NO_UNIT, converted, ratio_of_units

_MASSES = {"msunh": "Msun/h", "hmsun": "Msun/h", "h1msun": "Msun/h", "msunperh": "Msun/h",
           "msunh1": "Msun/h", "msun": "Msun", "solmass": "Msun"}  # fmt: skip
_LENGTHS = {f"{c}{size}h": f"{size[0]}pc/h" for size in ("mpc", "kpc") for c in ("", "c")}
_LENGTHS |= {f"{c}{size}": f"{size[0]}pc" for size in ("mpc", "kpc") for c in ("", "c")}
_LENGTHS = {name: unit.replace("mpc", "Mpc") for name, unit in _LENGTHS.items()}
_LENGTHS |= {f"{name}comoving": unit for name, unit in _LENGTHS.items()}
_POWERS = {"": "", "ergs": "erg/s", "ergpers": "erg/s", "ergs1": "erg/s"}
_NONE = {"": ""}
_LOG = re.compile(r"(?:log10|log|lg)(?=[a-z])")
_FACTOR = re.compile(r"(?:1e|10|1d|e)(\d{1,2})(?=\D|$)")
_LOG_UNIT = re.compile(r"\s*(?:dex|log|log10|lg)\b", re.IGNORECASE)
_SURELY_ERG = 1e30
"""Luminosities above this are in erg/s, whatever the table says."""


@dataclass(frozen=True)
class Kind:
    """A quantity of a halo.

    Attributes
    ----------
    names : tuple of str
        Plain names, the first that is there.
    unit : str
        What values are turned to.
    units : mapping
        Units that may end a name, by their plain names.
    low, high : float
        Least and largest value that make sense, in `unit`.
    needs_unit : bool
        Whether a column without any unit is refused.
    """

    names: tuple[str, ...]
    unit: str
    units: Mapping[str, str]
    low: float
    high: float
    needs_unit: bool = False


def mass_kind(*names: str, low: float = 1e6, high: float = 1e17) -> Kind:
    """Return a mass of these names, in Msun/h."""
    return Kind(names, "Msun/h", _MASSES, low, high, True)


def length_kind(*names: str, low: float = -1e5, high: float = 1e5) -> Kind:
    """Return a comoving length of these names, in Mpc/h."""
    return Kind(names, "Mpc/h", _LENGTHS, low, high, True)


def _power(*names: str) -> Kind:
    return Kind(names, "1e44 erg/s", _POWERS, 1e-10, 1e6, True)


def _ratio(*names: str, low: float = 0.0, high: float = 1.0) -> Kind:
    return Kind(names, "1", _NONE, low, high)


def _with(names: tuple[str, ...], *ends: str) -> tuple[str, ...]:
    return tuple(f"{name}{end}" for name in names for end in ends)


_R500 = ("500c", "500", "")
_SOFT = ("lxsoft", "lxsoft500", "lsoft", "lx0520", "lx052", "lx052kev", "l0520", "l052", "l052kev",
         "lx0520kev", "l0520kev")  # fmt: skip
_EXCISED = ("ce", "excised", "nocore", "withoutcore", "coreexcised", "cex")

KINDS: dict[str, Kind] = {
    "m500c": mass_kind("m500c", "m500", "m500crit", "mcrit500", "halom500c", "csvm500c", low=1e11),
    "redshift": _ratio(*[plain_name(n) for n in REDSHIFT if n != "Z"], "z", low=-1e9, high=1e9),
    "halo_id": _ratio("haloid", "treeid", "trackid", "idhalo", "id", low=-1e18, high=1e18),
    "x": length_kind("x", "posx"),
    "y": length_kind("y", "posy"),
    "z": length_kind("z", "posz"),
    "box": length_kind("boxside", "boxsize", "box", "lbox"),
    "M_gas": mass_kind(*_with(("mgas", "gasmass"), *_R500)),
    "f_gas": _ratio(*_with(("fgas", "gasfraction"), *_R500)),
    "M_star": mass_kind(*_with(("mstar", "stellarmass", "starmass"), *_R500)),
    "f_star": _ratio(*_with(("fstar", "starfraction", "stellarfraction"), *_R500)),
    "T": Kind(("t", "t500", "t500c", "temperature", "tmw", "kt"), "keV", {"": "", "kev": "keV"},
              0.02, 50),
    "L_X": _power(*_with(("lx", "lbol", "lxbol", "lbolometric"), *_R500)),
    "L_X_soft": _power(*_SOFT),
    "L_X_ce": _power(*_with(("lx", "lbol", "lxbol"), *_EXCISED)),
    "L_X_soft_ce": _power(*_with(_SOFT, *_EXCISED)),
    "core_share": _ratio("coreshare", "corefraction", "fcore"),
    "w": _ratio("w", "centroidshift", "deepw", high=2.0),
    "disturbance": _ratio("disturbance", "latentdisturbance", low=-6, high=6),
    "n_sat": _ratio("nsat", "nsat500c", "nsat500", "nsatellites", high=1e5),
}  # fmt: skip
"""What is read of a table of halos."""


@dataclass(frozen=True)
class Named:
    """A column whose name says a quantity: with what factor, unit, and whether as a logarithm."""

    column: TableColumn
    is_log: bool
    factor: float
    unit: str

    @property
    def own_unit(self) -> str:
        """The unit that the column has beside its name, empty if none."""
        unit = self.column.unit.strip()
        return "" if unit.lower() in NO_UNIT else unit


def find_quantity(columns: Columns, kind: Kind) -> Named | None:
    """Return the column of a quantity, by the first of its names that is there.

    Of several with the same name, the first that has a unit.

    Raises
    ------
    InputError
        If only a column of several values a row has such a name.
    """
    found = [(rank, one) for column in columns.values() for rank, one in _readings(column, kind)]
    if not found:
        for name in columns.others:
            if _readings(TableColumn(name, np.zeros(0), "", columns.file), kind):
                raise columns.refuse_other(name)
        return None
    return min(found, key=lambda pair: (pair[0], not (pair[1].own_unit or pair[1].unit)))[1]


def _readings(column: TableColumn, kind: Kind) -> list[tuple[int, Named]]:
    """Return how a column's name can be read as a quantity, each with the rank of the name."""
    plain = plain_name(column.name)
    log = _LOG.match(plain)
    rest = plain[log.end() :] if log else plain
    found = []
    for rank, name in enumerate(kind.names):
        if not rest.startswith(name):
            continue
        end, factor = rest[len(name) :], 1.0
        if (power := _FACTOR.match(end)) is not None:
            end, factor = end[power.end() :], 10.0 ** int(power[1])
        if end in kind.units or not end:
            one = Named(column, log is not None, factor, kind.units.get(end, ""))
            found.append((rank, one))
    return found


def quantity_values(
    named: Named, kind: Kind, h: float | None, *, default_unit: str = ""
) -> np.ndarray:
    """Return a quantity in its unit, NaN where a cell holds none.

    Parameters
    ----------
    named : Named
    kind : Kind
    h : float or None
        Hubble constant over 100 km/s/Mpc; None: units without it are refused.
    default_unit : str
        Unit where neither the column nor its name has one; empty: such a column is refused.

    Raises
    ------
    InputError
        If the unit is unknown or not that of the name, or there is none where one is needed.
    """
    column, own = named.column, named.own_unit
    values, field = column.plain_numbers(), f"column {column.name}"
    factor = named.factor
    if named.is_log and not _LOG_UNIT.match(own):
        with np.errstate(over="ignore"):
            values = 10.0**values
    if has_factor := bool(own and re.search(r"\d", re.sub(r"\^?-?\d\b", "", own))):
        factor = 1.0  # the unit has one of its own
    values = values * factor
    _check_unit_of_name(named, field, has_factor=has_factor)
    unit = own or named.unit or default_unit
    if kind.unit == "1e44 erg/s" and not unit:
        unit = _unit_of_power(values, named, field)
    elif kind.needs_unit and not unit:
        hint = f"call it {_example(column.name, kind)}, or give the column a unit"
        raise InputError("has no unit", file=column.file, field=field, hint=hint)
    return converted(values, unit, kind.unit, file=column.file, field=field, h=h)


def check_range(named: Named, kind: Kind, values: np.ndarray) -> None:
    """Refuse values that make no sense, by the first of them, as the file has it.

    Parameters
    ----------
    named : Named
    kind : Kind
    values : ndarray, shape (row,)
        As `quantity_values` gives them.
    """
    with np.errstate(invalid="ignore"):
        wrong = ~np.isnan(values) & ~((values >= kind.low) & (values <= kind.high))
    if not wrong.any():
        return
    row, column = int(np.argmax(wrong)), named.column
    written = column.plain_numbers()[row]
    what = f"is {written:g}"
    if values[row] != written and values[row] > 0:
        what += f", that is {values[row]:.3g} {kind.unit}"
    hint = f"give {kind.low:g} to {kind.high:g} {kind.unit}, or leave it empty"
    if 0 < values[row] < kind.low and kind.units is _MASSES and not named.is_log:
        hint += f"; a power of ten goes into the unit or the name ({kind.names[0]}_1e14_msun_h)"
    raise InputError(what, file=column.file, field=f"row {row + 1}, {column.name}", hint=hint)


def _check_unit_of_name(named: Named, field: str, *, has_factor: bool) -> None:
    """Refuse a column whose name says another unit than its own, with h where that has none.

    A factor that is written in the unit (``1e14 Msun/h`` of ``m500c_msun_h``) is no contradiction.
    """
    own, said = named.own_unit, named.unit
    ratio = ratio_of_units(own, said) if own and said else None
    if ratio is None or (ratio[1] == 0 and (has_factor or abs(ratio[0] - 1) < 1e-9)):
        return
    what = f"has unit {own!r}, its name says {said}"
    hint = f"give the unit {said} or none, or leave the unit out of the name"
    raise InputError(what, file=named.column.file, field=field, hint=hint)


def _unit_of_power(values: np.ndarray, named: Named, field: str) -> str:
    known = values[np.isfinite(values)]
    if named.factor != 1 or not len(known) or np.median(known) > _SURELY_ERG:
        return "erg/s"
    hint = f"call it {named.column.name}_1e44, or give the column a unit"
    raise InputError("has no unit", file=named.column.file, field=field, hint=hint)


def _example(name: str, kind: Kind) -> str:
    ends = ("_msun_h or {0}_msun" if kind.units is _MASSES else "_mpc_h or {0}_kpc_h").format(name)
    return name + ends
