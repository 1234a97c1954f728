"""Sky pixels of event lists: columns X and Y, whose header says where on the sky they lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from icmass.errors import InputError
from icmass.io.fits_stream import Hdu

PROJECTIONS = ("TAN", "SIN")
_FRAMES = ("", "ICRS", "FK5", "J2000")
"""Of RADESYS and RADECSYS; FK5 of J2000 is within 0.03 arcsec of ICRS."""


def check_frame(keys: Mapping[str, Any], file: Path) -> None:
    """Refuse positions of another frame than ICRS, or of another equinox than J2000.

    Parameters
    ----------
    keys : mapping
        A header. Without RADESYS its EQUINOX tells: FK4 before 1984 (FITS standard 4.0, 8.3).
    file : path

    Raises
    ------
    InputError
        If they are.
    """
    name = "RADESYS" if "RADESYS" in keys else "RADECSYS"
    frame = str(keys.get(name, "")).strip().upper()
    equinox, hint = keys.get("EQUINOX"), "give positions in ICRS"
    if frame not in _FRAMES:
        raise InputError(f"is {frame}", file=file, field=f"keyword {name}", hint=hint)
    if frame not in ("", "FK5") or not isinstance(equinox, int | float):
        return
    if abs(equinox - 2000) > 0.1:
        raise InputError(f"is {equinox:g}", file=file, field="keyword EQUINOX", hint=hint)


@dataclass(frozen=True)
class SkyPixels:
    """Pixels of a plane that touches the sky (Calabretta & Greisen 2002, A&A 395, 1077).

    Attributes
    ----------
    ra, dec : float
        Where it touches, ICRS [deg].
    at : (float, float)
        That place in pixels.
    step : (float, float)
        Pixel along each axis [deg]; the first is negative where East is left.
    projection : {"TAN", "SIN"}
    """

    ra: float
    dec: float
    at: tuple[float, float]
    step: tuple[float, float]
    projection: str = "TAN"

    def to_sky(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return right ascension and declination [deg] of pixels; NaN where there are none.

        Parameters
        ----------
        x, y : ndarray, shape (n,)
            Pixels, in the header's count.
        """
        east = np.radians((np.asarray(x, float) - self.at[0]) * self.step[0])
        north = np.radians((np.asarray(y, float) - self.at[1]) * self.step[1])
        r2 = east**2 + north**2
        with np.errstate(invalid="ignore"):
            depth = 1.0 if self.projection == "TAN" else np.sqrt(1 - r2)
        sin0, cos0 = math.sin(math.radians(self.dec)), math.cos(math.radians(self.dec))
        along = depth * cos0 - north * sin0
        ra = np.mod(self.ra + np.degrees(np.arctan2(east, along)), 360)
        up = depth * sin0 + north * cos0
        return ra, np.degrees(np.arctan2(up, np.hypot(along, east)))


def read_sky_pixels(hdu: Hdu, names: tuple[str, str]) -> SkyPixels:
    """Return where on the sky the pixels of two columns lie.

    Read are TCTYPn, TCRPXn, TCRVLn and TCDLTn of column n (FITS standard 4.0, section 8.2.1), or
    REFXCTYP, REFXCRPX, REFXCRVL and REFXCDLT, and so on of Y, where they are absent.

    Raises
    ------
    InputError
        If a keyword is absent or makes no sense, or the projection is another.
    """
    check_frame(hdu.header, hdu.file)
    types, at, value, step = [], [], [], []
    for name, short in zip(names, "XY", strict=True):
        number = list(hdu.columns).index(name) + 1
        types.append(str(_key(hdu, f"TCTYP{number}", f"REF{short}CTYP", "")).strip().upper())
        at.append(_number(hdu, f"TCRPX{number}", f"REF{short}CRPX"))
        value.append(_number(hdu, f"TCRVL{number}", f"REF{short}CRVL"))
        step.append(_number(hdu, f"TCDLT{number}", f"REF{short}CDLT"))
    projection = types[0][-3:]
    if types != [f"RA---{projection}", f"DEC--{projection}"] or projection not in PROJECTIONS:
        known = " or ".join(f"RA---{p}, DEC--{p}" for p in PROJECTIONS)
        raise InputError(
            f"columns {names[0]}, {names[1]} are {types[0] or None}, {types[1] or None}",
            file=hdu.file,
            field=f"{hdu.label}, TCTYP",
            hint=f"give {known}",
        )
    if not all(step) or not abs(value[1]) <= 90:
        raise InputError("makes no sense", file=hdu.file, field=f"{hdu.label}, TCRVL, TCDLT")
    return SkyPixels(value[0], value[1], (at[0], at[1]), (step[0], step[1]), projection)


def _key(hdu: Hdu, key: str, old: str, default: Any = None) -> Any:
    return hdu.header.get(key, hdu.header.get(old, default))


def _number(hdu: Hdu, key: str, old: str) -> float:
    value = _key(hdu, key, old)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        what = "is absent" if value is None else f"is {value}"
        raise InputError(what, file=hdu.file, field=f"{hdu.label}, {key} or {old}")
    return float(value)
