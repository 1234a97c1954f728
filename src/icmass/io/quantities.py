"""Single numbers as users give them: plain, with a unit, or as text; in the unit that we use."""

from __future__ import annotations

from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.io.sky_table import parse_angle

NH_UNIT = "1e20 cm-2"


def plain_number(value: Any, unit: str, field: str) -> float:
    """Return a number in a unit.

    Parameters
    ----------
    value : float, Quantity or str
        In `unit` where it has none; an array of one value, too.
    unit : str
        ``"deg"``, ``"s"``, ``"keV"`` (temperatures in K, too), ``""`` for none.
    field : str
        The option that is at fault where it is no such number.

    Examples
    --------
    >>> from astropy import units as u
    >>> plain_number(2 * u.ks, "s", "--exposure"), plain_number([0.3], "", "--redshift")
    (2000.0, 0.3)
    """
    if isinstance(value, int | float):
        return float(value)
    from astropy import units as u
    from astropy.cosmology import units as cu

    known = [*u.temperature_energy(), *cu.dimensionless_redshift()]
    told = f" in {unit}" if unit else ""
    try:
        given = u.Quantity(value)
        if given.unit == u.dimensionless_unscaled:
            given = given.value * u.Unit(unit)
        found = np.ravel(given.to_value(u.Unit(unit), equivalencies=known))
    except (TypeError, ValueError) as error:  # UnitConversionError is a TypeError
        what = "has another unit" if isinstance(error, u.UnitsError) else "is no number"
        hint = f"give a number{told}"
        raise InputError(f"{what} ({_shown(value)})", field=field, hint=hint) from None
    if found.size != 1:
        hint = f"give one number{told}; many clusters go into a table"
        raise InputError(f"has {found.size} values", field=field, hint=hint)
    return float(found[0])


def optional_number(value: Any, unit: str, field: str) -> float | None:
    """Return a number in a unit as `plain_number` does, None where none is given."""
    return None if value is None else plain_number(value, unit, field)


def angle(value: Any, field: str, *, hours: bool) -> float:
    """Return an angle in degrees; `hours`: texts such as ``10:00:24`` are hours.

    Examples
    --------
    >>> angle("10h00m24s", "--ra", hours=True), angle("-2:30:00", "--dec", hours=False)
    (150.1, -2.5)
    """
    if isinstance(value, str):
        found = parse_angle(value, hours=hours)
        if not np.isfinite(found):
            hint = "give degrees, or write " + ("10h00m24s" if hours else "-02d30m00s")
            raise InputError(f"is {value!r}", field=field, hint=hint)
        return found
    return plain_number(value, "deg", field)


def position_degrees(ra: Any, dec: Any, position: Any = None) -> tuple[float | None, float | None]:
    """Return a position in degrees, of numbers, quantities, texts or a SkyCoord."""
    if position is not None:
        if ra is not None or dec is not None:
            raise InputError("give one of them", field="ra, dec, position")
        try:
            place = position.icrs
        except Exception:  # frames without an origin raise several kinds
            what = f"is no SkyCoord with a place on the sky ({_shown(position)})"
            raise InputError(what, field="position", hint="or give ra and dec") from None
        ra, dec = (plain_number(part, "deg", "position") for part in (place.ra, place.dec))
    return (
        None if ra is None else angle(ra, "--ra", hours=True),
        None if dec is None else angle(dec, "--dec", hours=False),
    )


def _shown(value: Any) -> str:
    """Return a short text of a value."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 40 else f"{text[:40]}..."
