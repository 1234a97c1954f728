"""Units of columns, as tables have them: one path for FITS, ECSV, VOTable and CSV."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from icmass.errors import InputError

if TYPE_CHECKING:
    from astropy.units import UnitBase

NO_UNIT = (
    "",
    "-",
    "--",
    "---",
    "1",
    "none",
    "null",
    "n/a",
    "unitless",
    "dimensionless",
    "redshift",
)
"""What stands in a unit's place where there is none, in small letters."""
SEXAGESIMAL = {"h:m:s": "hourangle", "d:m:s": "deg", "hms": "hourangle", "dms": "deg"}
"""Units of texts such as 10:00:24 as VizieR and TOPCAT call them."""
_ALIASES = {
    **SEXAGESIMAL,
    "degrees": "deg",
    "degs": "deg",
    "radians": "rad",
    "rads": "rad",
    "hours": "hourangle",
    "ra hours": "hourangle",
    "arcminutes": "arcmin",
    "arcseconds": "arcsec",
    "s": "s",  # as S it would be siemens
    "sec": "s",
    "secs": "s",
    "seconds": "s",
    "ksec": "ks",
}
_COUNTS = re.compile(r"\b(?:counts?|cts?|events?|photons?)\b", re.IGNORECASE)
_SECONDS = re.compile(r"\b(?:secs?|seconds?)\b", re.IGNORECASE)
_PER = re.compile(r"\s+per\s+", re.IGNORECASE)
_OF_COUNTS = ("ct", "ph", "photon", "electron", "adu", "bin", "pix", "pixel")
_LOG = re.compile(r"(?:log|log10|lg|dex)\s*[(\[](.*)[)\]]", re.IGNORECASE)
_ATOMS = re.compile(r"\b(?:atoms?|H)\b\s*(?=/|cm)")
_PER_H = re.compile(r"(?:\s*/\s*(?:h|littleh)|[\s.*]*\b(?:h|littleh)(?:\^|\*\*)?\(?-1\)?)\s*$")
_COMOVING = re.compile(r"^\s*(?:comoving\s+|c(?=[kM]pc))")


def parse_unit(text: str, *, per_h: bool = False) -> UnitBase:
    """Return a unit by its text in any of the standards that tables are written in.

    Parameters
    ----------
    text : str
        ``deg``, ``rad``, ``1e22 cm^-2``, ``10+20cm-2``, ``dex(cm-2)``, ``kpc/h``, ...
    per_h : bool
        Whether an ``h`` is the Hubble constant over 100 km/s/Mpc, not an hour.

    Raises
    ------
    ValueError
        If no standard knows it.

    Examples
    --------
    >>> parse_unit("10^22 cm^-2").to(parse_unit("1e20 cm-2"))
    100.0
    >>> parse_unit("kpc/h", per_h=True)
    Unit("kpc / littleh")
    """
    from astropy import units as u
    from astropy.cosmology import units as cu

    plain = re.sub(r"[{}\"']", "", text).strip()
    if plain.lower() in NO_UNIT:
        return u.dimensionless_unscaled
    if per_h:
        plain = _COMOVING.sub("", plain)
        if (found := _PER_H.search(plain)) is not None:
            return parse_unit(plain[: found.start()]) / cu.littleh
    if (log := _LOG.fullmatch(plain)) is not None:
        return u.dex(parse_unit(log[1], per_h=per_h))
    plain = re.sub(r"^/", "1/", _ATOMS.sub("", plain))
    known = _ALIASES.get(plain.lower(), plain)
    for spelled in (known, known.lower()):
        for standard in (None, "fits", "cds", "ogip"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    return u.Unit(spelled, format=standard)
                except (ValueError, TypeError):
                    continue
    raise ValueError(f"{text!r} is no unit")


def is_other_than_counts(text: str) -> bool:
    """Return whether a unit is known, and not one of counts, of a pixel or without a unit.

    Examples
    --------
    >>> [is_other_than_counts(unit) for unit in ("counts", "", "cts/sec", "ct arcmin-2")]
    [False, False, True, True]
    """
    try:
        unit = parse_unit(_PER.sub("/", _COUNTS.sub("ct", _SECONDS.sub("s", text))))
    except ValueError:
        return False
    physical = getattr(unit, "physical_unit", unit)
    return any(base.name not in _OF_COUNTS for base in physical.decompose().bases)


def converted(
    values: np.ndarray,
    unit: str,
    target: str,
    *,
    file: str | Path,
    field: str,
    h: float | None = None,
) -> np.ndarray:
    """Return numbers of one unit in another, float64.

    Parameters
    ----------
    values : ndarray
    unit, target : str
        See `parse_unit`; an empty `unit` is the target's.
    file, field
        Where the numbers are from, for the message.
    h : float, optional
        Hubble constant over 100 km/s/Mpc, between units with and without ``/h``; where it is given,
        or the target has ``/h``, an ``h`` in a unit is not an hour.

    Raises
    ------
    InputError
        If the unit isn't known, or is none of the kind.
    """
    from astropy import units as u
    from astropy.cosmology import units as cu

    values = np.asarray(values, "f8")
    if unit.strip().lower() in NO_UNIT:
        return values
    per_h = h is not None or _PER_H.search(target) is not None
    wanted = parse_unit(target, per_h=per_h)
    try:
        found = parse_unit(unit, per_h=per_h)
        if isinstance(found, u.function.FunctionUnitBase):
            values, found = np.asarray(found.to_physical(values)), found.physical_unit
        rule = [] if h is None else cu.with_H0(100 * h * u.km / u.s / u.Mpc)
        with np.errstate(over="ignore", invalid="ignore"):
            return values * found.to(wanted, equivalencies=rule)
    except (ValueError, ArithmeticError, u.UnitTypeError):
        kind = "a redshift, without a unit" if target in NO_UNIT else target
        raise InputError(
            f"has unit {unit.strip()!r}", file=file, field=field, hint=f"give {kind}"
        ) from None


def ratio_of_units(one: str, other: str) -> tuple[float, float] | None:
    """Return the ratio of two units as a number and a power of h; None if it is anything else.

    Logarithmic units count as what they are the logarithm of, units that aren't known as nothing.

    Examples
    --------
    >>> ratio_of_units("1e3 Msun", "Msun"), ratio_of_units("Msun", "Msun/h")
    ((1000.0, 0.0), (1.0, 1.0))
    """
    from astropy import units as u
    from astropy.cosmology import units as cu

    try:
        found = [parse_unit(text, per_h=True) for text in (one, other)]
    except ValueError:
        return None
    found = [x.physical_unit if isinstance(x, u.function.FunctionUnitBase) else x for x in found]
    ratio = (found[0] / found[1]).decompose()
    if any(base != cu.littleh for base in ratio.bases):
        return None
    return float(ratio.scale), float(sum(ratio.powers))
